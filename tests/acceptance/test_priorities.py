"""Under load the most urgent queue is drained first, on both brokers; and what waits too long is not forgotten."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from backbeat.core.job import JobSpec
from tests.acceptance.conftest import BROKERS, QUICK, broker_url
from tests.support.deployment import Deployment
from tests.support.eventually import eventually
from tests.support.servers import RedisServer

pytestmark = pytest.mark.slow

RUNS = 60
SLOTS = 2


@pytest.fixture(scope="module", params=BROKERS)
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer
) -> Iterator[Deployment]:
    with redis_server.client() as client:
        client.flushall()
    made = Deployment(tmp_path_factory.mktemp("urgent"), redis_server.url, broker_url(request, request.param), **QUICK)
    made.define(*(JobSpec(f"p{priority}.work", "probe.work", priority=priority) for priority in (1, 5, 9)))
    made.keeper()
    yield made
    made.stop()


def test_p9_is_drained_before_p5_and_p5_before_p1(site: Deployment) -> None:
    for priority in (1, 5, 9):
        for number in range(RUNS):
            site.submit(f"p{priority}.work", str(number), seconds=0.02)
    eventually(lambda: not _in_outbox(site), within=30, message=site.story)

    site.worker(children=SLOTS)
    eventually(lambda: len(site.effects("end")) == 3 * RUNS, within=90, message=site.story)

    lines = [line.split() for line in site.effects_file.read_text().splitlines()]
    order = [run_id[:2] for word, run_id, *_ in lines if word == "begin"]
    early = {less: _before(order, less, more) for less, more in (("p1", "p5"), ("p5", "p9"))}
    # What came first fills the slots before more can come. RabbitMQ may take longer than usual to send the next message.
    most = SLOTS + 1 if site.store.slots.direct else RUNS // 4
    assert max(early.values()) <= most, f"of {RUNS} each, so many began too early: {early}"


def _before(order: list[str], less: str, more: str) -> int:
    """How many of the less urgent began before the last of the more urgent did."""
    last = len(order) - 1 - order[::-1].index(more)
    return order[:last].count(less)


def _in_outbox(site: Deployment) -> int:
    return sum(int(site.client.xlen(keys.outbox)) for keys in site.store.slots.all)

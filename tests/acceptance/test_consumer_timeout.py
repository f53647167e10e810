"""RabbitMQ closes the channel of a worker that keeps a message longer than `consumer_timeout`: the run ends once, and right."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from backbeat.core.job import JobSpec
from tests.acceptance.conftest import KINDS, QUICK, in_every_pool, ready
from tests.support.deployment import Deployment
from tests.support.eventually import eventually
from tests.support.fixtures import rabbit_node
from tests.support.servers import RabbitServer, RedisServer

pytestmark = [pytest.mark.slow, pytest.mark.rabbitmq]

TIMEOUT = 2.0
"""Seconds that a message may be kept; RabbitMQ looks each second here, and each minute by default."""
CONFIG = f"[{{rabbit, [{{consumer_timeout, {TIMEOUT * 1000:.0f}}}, {{channel_tick_interval, 1000}}]}}].\n"


@pytest.fixture(scope="module")
def rabbit(server_folder: Path) -> Iterator[RabbitServer]:
    """A node that is less patient than the one that other tests share."""
    with rabbit_node(server_folder, "impatient", advanced=CONFIG) as server:
        yield server


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer, rabbit: RabbitServer) -> Iterator[Deployment]:
    with redis_server.client() as client:
        client.flushall()
    made = Deployment(tmp_path_factory.mktemp("timeout"), redis_server.url, rabbit.url, **QUICK)
    made.define(*(JobSpec(f"{kind}.work", "probe.loop", pool=kind) for kind in KINDS))
    workers = [made.worker(kind, "-P", kind, pools=(kind,)) for kind in KINDS]
    made.keeper()
    for worker in workers:
        ready(worker)
    yield made
    made.stop()


def test_a_run_that_outlasts_consumer_timeout_ends_once_and_the_worker_goes_on(site: Deployment, rabbit: RabbitServer) -> None:
    @in_every_pool
    def scenario(site: Deployment, kind: str) -> None:
        closed = told(rabbit)
        long = site.submit(f"{kind}.work", "long", seconds=4 * TIMEOUT)
        eventually(lambda: site.effects("begin")[long] == 1, within=20, message=site.story)

        eventually(lambda: site.state(long) == "succeeded", within=30, message=site.story)

        assert site.attempts(long) == [(1, "succeeded", "")]
        assert (site.effects("begin")[long], site.effects()[long]) == (1, 1)
        assert told(rabbit) > closed, "RabbitMQ did close the channel"
        after = site.submit(f"{kind}.work", "after", seconds=0.0)
        eventually(lambda: site.state(after) == "succeeded", within=20, message=site.story)
        assert site.effects()[after] == 1
        assert site.processes[kind].alive
        # Its copies came back meanwhile; none of them began.
        assert site.effects("begin")[long] == 1

    scenario(site)


def told(rabbit: RabbitServer) -> int:
    """How often the node said that somebody kept a message too long."""
    logs = [rabbit.log, *rabbit.folder.glob("*-logs/*.log")]
    return sum(path.read_text(errors="replace").count("has timed out waiting for") for path in logs)

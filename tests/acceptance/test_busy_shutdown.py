"""A worker that is told to end in the midst of short runs ends at once, in good order, and leaves the rest to another."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from backbeat import conf
from backbeat.core.job import JobSpec
from backbeat.runtime.submit_many import submit_many
from tests.acceptance.conftest import BROKERS, QUICK, broker_url
from tests.support.deployment import Deployment
from tests.support.eventually import eventually
from tests.support.servers import RedisServer

pytestmark = pytest.mark.slow

RUNS = 900
TOGETHER = 5
"""Runs of a message in the batched lane."""
TIMES = 3
"""Celery alone stays for half a minute every other time."""


@pytest.fixture(params=BROKERS)
def site(request: pytest.FixtureRequest, tmp_path: Path, redis_server: RedisServer) -> Iterator[Deployment]:
    with redis_server.client() as client:
        client.flushall()
    made = Deployment(tmp_path, redis_server.url, broker_url(request, request.param) or redis_server.broker_url, **QUICK)
    made.define(JobSpec("short.work", "probe.work"), JobSpec("lane.work", "probe.work", batch=TOGETHER))
    made.keeper()
    yield made
    made.stop()


def submit(site: Deployment, job: str) -> set[str]:
    if job == "short.work":
        return {site.submit(job, str(number), seconds=0.001) for number in range(RUNS)}
    with conf.override(redis_url=site.env["REDIS_URL"], broker_url=site.env["BROKER_URL"]):
        return set(map(str, submit_many(job, [{"seconds": 0.001}] * RUNS)))


@pytest.mark.parametrize("job", ["short.work", "lane.work"])
def test_it_ends_at_once_and_each_run_is_done_once(site: Deployment, job: str) -> None:
    runs = submit(site, job)
    for number in range(TIMES):
        worker = site.worker(f"told{number}")
        some = len(site.effects()) + 100
        eventually(lambda some=some: len(site.effects()) > some, within=60, message=site.story)
        began = time.monotonic()
        assert worker.stop(within=25) == 0, worker.logs()
        assert time.monotonic() - began < 12, worker.logs()

    site.worker("last")
    eventually(lambda: set(site.effects()) == runs, within=60, message=site.story)
    assert set(site.effects("begin").values()) == {1}
    succeeded = "select count(*) from backbeat_run where state = 'succeeded'"
    eventually(lambda: site.rows(succeeded) == [(RUNS,)], within=60, message=site.story)
    assert site.rows("select max(number) from backbeat_attempt") == [(1,)]

"""RabbitMQ closes a worker's connection in the one moment in which Celery drops what it reads: the worker connects again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from backbeat.core.job import JobSpec
from tests.support.deployment import Deployment
from tests.support.eventually import eventually
from tests.support.fixtures import rabbit_node
from tests.support.servers import RabbitServer, RedisServer

pytestmark = [pytest.mark.redis, pytest.mark.rabbitmq, pytest.mark.slow]

LATE = '''
"""The loop's first look at its connection takes as long as there is a file of this name."""
import time
from pathlib import Path
from celery.worker import loops

drain = loops._quick_drain

def late(*args, **options):
    Path("reached").touch()
    until = time.monotonic() + 60  # a test that was broken off leaves no worker behind
    while Path("wait").exists() and time.monotonic() < until:
        time.sleep(0.02)
    drain(*args, **options)

loops._quick_drain = late
'''


@pytest.fixture
def rabbit(server_folder: Path) -> Iterator[RabbitServer]:
    with rabbit_node(server_folder, "farewell") as server:
        yield server


@pytest.fixture
def site(tmp_path: Path, redis_server: RedisServer, rabbit: RabbitServer) -> Iterator[Deployment]:
    with redis_server.client() as client:
        client.flushall()
    made = Deployment(tmp_path, redis_server.url, rabbit.url)
    (made.folder / "late.py").write_text(LATE)
    (made.folder / "celeryconfig.py").write_text("import late\n")
    made.define(JobSpec("probe.work", "probe.work"))
    yield made
    made.stop()


def test_a_worker_whose_broker_says_goodbye_unheard_takes_runs_again(site: Deployment, rabbit: RabbitServer) -> None:
    wait = site.folder / "wait"
    wait.touch()
    site.worker(children=1)
    eventually((site.folder / "reached").exists, within=40, message=site.story)

    # Not the one of task events, whose loss would be noticed.
    channels = [line.split() for line in rabbit.control("list_channels", "connection", "consumer_count").splitlines()[1:]]
    [consuming] = {connection for connection, consumers in channels if consumers != "0"}
    rabbit.control("close_connection", consuming, "closed by a test")
    wait.unlink()
    site.keeper()
    run_id = site.submit("probe.work", "after")

    # Without a look at the connection this takes until two heartbeats are missed, more than two minutes.
    eventually(lambda: site.effects()[run_id] == 1, within=40, message=site.story)

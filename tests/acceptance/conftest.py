"""Deployments on the run's own Redis: a fresh one for a test that breaks things, a shared one for those that don't."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.deployment import Deployment
from tests.support.servers import RedisServer


@pytest.fixture
def deployment(tmp_path: Path, redis_url: str) -> Iterator[Deployment]:
    made = Deployment(tmp_path, redis_url, BACKBEAT_RUN_LEASE="3s", BACKBEAT_REQUEUE_AFTER="5s")
    yield made
    made.stop()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Iterator[Deployment]:
    with redis_server.client() as client:
        client.flushall()
    folder = tmp_path_factory.mktemp("running")
    made = Deployment(folder, redis_server.url, BACKBEAT_RUN_LEASE="3s", BACKBEAT_REQUEUE_AFTER="5s")
    for start in (made.worker, made.beat, made.keeper):
        start()
    yield made
    made.stop()

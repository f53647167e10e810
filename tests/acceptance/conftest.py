"""Deployments on the run's own Redis: a fresh one for a test that breaks things, a shared one for those that don't."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.deployment import Deployment
from tests.support.servers import RedisServer

BROKERS = [pytest.param("redis", marks=pytest.mark.redis), pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)]
QUICK = {"BACKBEAT_RUN_LEASE": "3s", "BACKBEAT_REQUEUE_AFTER": "5s"}


def broker_url(request: pytest.FixtureRequest, broker: str) -> str | None:
    """A broker of one's own: a virtual host of RabbitMQ, or None for the ledger's own Redis."""
    if broker == "redis":
        return None
    return request.getfixturevalue("rabbitmq_server").virtual_host(f"v{uuid4().hex}")


@pytest.fixture
def deployment(tmp_path: Path, redis_url: str) -> Iterator[Deployment]:
    made = Deployment(tmp_path, redis_url, **QUICK)
    yield made
    made.stop()


@pytest.fixture(scope="module", params=BROKERS)
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer
) -> Iterator[Deployment]:
    with redis_server.client() as client:
        client.flushall()
    folder = tmp_path_factory.mktemp("running")
    made = Deployment(folder, redis_server.url, broker_url(request, request.param), **QUICK)
    for start in (made.worker, made.beat, made.keeper):
        start()
    yield made
    made.stop()

"""Deployments on the run's own Redis: a fresh one for a test that breaks things, a shared one for those that don't."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.deployment import Deployment
from tests.support.eventually import eventually
from tests.support.processes import OwnProcess
from tests.support.servers import RedisServer

BROKERS = [pytest.param("redis", marks=pytest.mark.redis), pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)]
KINDS = ("prefork", "threads", "gevent", "solo")
"""Celery's pools, each of which keeps every promise."""
QUICK = {"BACKBEAT_RUN_LEASE": "3s", "BACKBEAT_REQUEUE_AFTER": "5s"}


def broker_url(request: pytest.FixtureRequest, broker: str) -> str | None:
    """A broker of one's own: a virtual host of RabbitMQ, or None for the ledger's own Redis."""
    if broker == "redis":
        return None
    return request.getfixturevalue("rabbitmq_server").virtual_host(f"v{uuid4().hex}")


def in_every_pool(scenario: Callable[[Deployment, str], None]) -> Callable[[Deployment], None]:
    """One scenario in all pools at once: most of it is waiting. Failures are told together, by kind."""

    def test(deployment: Deployment) -> None:
        with ThreadPoolExecutor(len(KINDS)) as pool:
            futures = {kind: pool.submit(scenario, deployment, kind) for kind in KINDS}
        failures = []
        for kind, future in futures.items():
            if (error := future.exception()) is not None:
                error.add_note(f"in the pool {kind}")
                failures.append(error)
        if failures:
            raise BaseExceptionGroup("not in every pool", failures)

    return test


def ready(worker: OwnProcess) -> OwnProcess:
    eventually(lambda: " ready." in worker.logs(100_000), within=60, message=worker.logs)
    return worker


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

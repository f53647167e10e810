"""A stock Celery app, as pytest-celery sets it up, and a Backbeat worker understand each other on both brokers."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_celery import CeleryTestSetup
from pytest_celery.vendors.worker.tasks import add, fail, ping

from tests.support.celery_nodes import setup_of
from tests.support.deployment import Deployment
from tests.support.eventually import eventually
from tests.support.servers import RedisServer

pytestmark = [pytest.mark.redis, pytest.mark.slow]
QUEUE = "default.p5"


@pytest.fixture(params=["redis", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)])
def setup(
    request: pytest.FixtureRequest, tmp_path: Path, redis_server: RedisServer, redis_url: str
) -> Iterator[tuple[CeleryTestSetup, Deployment]]:
    rabbit = request.getfixturevalue("rabbitmq_server") if request.param == "rabbitmq" else None
    url = rabbit.url if rabbit else redis_server.broker_url
    deployment = Deployment(tmp_path, redis_url, url)
    app = tmp_path / "probe_app.py"
    app.write_text(app.read_text().replace('["probe_jobs"]', '["probe_jobs", "pytest_celery.vendors.worker.tasks"]'))
    worker = deployment.worker("node", children=1)
    made = setup_of(rabbit or redis_server, url, redis_server.broker_url, worker, QUEUE)
    # RabbitMQ drops what is sent to a queue that nobody has declared yet; a worker declares its queues.
    assert made.ready(docker=True)
    assert made.ready(ping=True, control=True), worker.logs()
    yield made, deployment
    deployment.stop()


def test_results_and_failures_come_back(setup: tuple[CeleryTestSetup, Deployment]) -> None:
    assert add.s(2, 3).apply_async(queue=QUEUE).get(timeout=20) == 5

    with pytest.raises(RuntimeError, match="Task expected to fail"):
        fail.s().apply_async(queue=QUEUE).get(timeout=20)


def test_a_killed_worker_comes_back_and_works(setup: tuple[CeleryTestSetup, Deployment]) -> None:
    made, _ = setup
    worker = made.worker
    assert worker is not None

    worker.kill(signal.SIGKILL)
    waiting = ping.s().apply_async(queue=QUEUE)
    worker.restart()

    assert waiting.get(timeout=30) == "pong"


def test_a_job_that_a_stock_producer_sends_becomes_a_run_with_history(setup: tuple[CeleryTestSetup, Deployment]) -> None:
    made, deployment = setup
    deployment.keeper()

    sent = made.app.send_task("probe.flaky", kwargs={"until": 1}, queue=QUEUE)

    assert sent.get(timeout=20) == 1
    recorded = f"select state from backbeat_run where run_id like '%{sent.id}%'"
    eventually(lambda: deployment.rows(recorded) == [("succeeded",)], within=30, message=deployment.story)


def test_every_question_of_a_stock_client_is_answered(setup: tuple[CeleryTestSetup, Deployment]) -> None:
    made, deployment = setup

    ask = made.app.control.inspect(timeout=10, limit=1)
    questions = ("stats", "conf", "registered", "report", "active", "reserved", "scheduled", "revoked", "active_queues", "clock")
    answers = {question: getattr(ask, question)() for question in questions}

    assert [question for question, answer in answers.items() if not answer] == []
    assert "Control command error" not in deployment.processes["node"].logs(100_000)
    assert add.s(2, 3).apply_async(queue=QUEUE).get(timeout=5) == 5

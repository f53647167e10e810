"""To Celery a job is a task: its own calls work, and every one of them goes through the ledger."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, chain, group, shared_task
from pydantic import BaseModel

from backbeat import Backbeat, adopt, conf, current_run, job
from backbeat.errors import BadArguments, ConfigurationError, DefinitionError, StoreUnavailable
from backbeat.runtime import registry
from backbeat.runtime.task import JobTask
from backbeat.store.store import open_store
from tests.support.in_thread import worker_in_thread

pytestmark = pytest.mark.redis


class Order(BaseModel):
    number: int
    total: Decimal


@job("celery.add")
def add(a: int, b: int = 0) -> int:
    return a + b


@job("celery.typed")
def typed(day: date, order: Order | None = None) -> list[str]:
    return [type(day).__name__, type(order).__name__, current_run().id]


@job("celery.urgent", pool="express", priority=9)
def urgent() -> str:
    return current_run().id


@job("celery.failing")
def failing() -> None:
    raise ValueError("no luck")


@shared_task(name="legacy.when")
def legacy(moment: datetime, times: int = 1) -> list[Any]:
    """Written long before Backbeat came."""
    return [type(moment).__name__, times]


@shared_task(name="legacy.total", pydantic=True)
def total(order: Order) -> str:
    return f"{type(order).__name__} {order.total}"


@pytest.fixture
def app(redis_url: str, redis_broker_url: str) -> Iterator[Backbeat]:
    with conf.override(redis_url=redis_url, broker_url=redis_broker_url):
        app = Backbeat("tests", config_source={"imports": ()})
        app.set_current()
        yield app
        app.close()


@pytest.fixture
def worker(app: Backbeat) -> Iterator[Any]:
    with worker_in_thread(app, "default", "express") as worker:
        yield worker


def test_every_app_knows_the_job_by_its_name(app: Backbeat):
    other = Celery("other", set_as_current=False)

    assert isinstance(app.tasks["celery.add"], JobTask)
    assert isinstance(other.tasks["celery.add"], JobTask)
    assert add.task is app.tasks["celery.add"]
    assert add.max_retries == app.tasks["celery.add"].max_retries, "what the job lacks is the task's"


def test_delay_makes_a_run_before_its_message(app: Backbeat):
    result = add.delay(1, b=2)

    run = open_store().ledger.get(result.id)
    assert result.id.startswith("celery.add:")
    assert (run["j"], json.loads(run["x"]), run["q"]) == ("celery.add", [[1], {"b": 2}], "default.p5")


def test_the_message_lies_in_the_queue_of_the_jobs_pool_and_priority(app: Backbeat, redis_client: Any):
    urgent.delay()

    assert redis_client.llen("express.p9") == 1


def test_a_stock_producer_reaches_the_jobs_queue_too(app: Backbeat, redis_client: Any):
    app.send_task("celery.urgent")

    assert redis_client.llen("express.p9") == 1


@pytest.mark.usefixtures("app")
class TestRefusals:
    @pytest.mark.parametrize("call", ["delay", "run"])
    def test_arguments_that_do_not_fit_are_refused_where_they_are_given(self, call: str, redis_client: Any):
        with pytest.raises(BadArguments, match="a: input should be a valid integer"):
            getattr(add, call)("one")

        assert redis_client.keys("*run*") == []

    def test_a_signature_is_refused_when_it_is_sent(self):
        with pytest.raises(BadArguments, match="c: no such parameter"):
            add.s(1, c=2).apply_async()


@pytest.mark.parametrize("call", ["delay", "run"])
def test_without_redis_nothing_is_taken_on_and_that_is_said(app: Backbeat, tmp_path: Path, call: str):
    nowhere = f"unix://{tmp_path}/redis.sock"

    with conf.override(redis_url=nowhere), pytest.raises(StoreUnavailable, match=r"Redis does not answer.*No such file"):
        getattr(add, call)(1)


def test_types_come_back_in_the_worker(worker: Any):
    answer = typed.delay(date(2026, 11, 23), order=Order(number=1, total=Decimal("9.90")))

    assert answer.get(timeout=15) == ["date", "Order", answer.id]


def test_a_run_can_be_waited_for(worker: Any):
    assert add.run(2, b=3, reason="late feed", wait=15) == 5
    with pytest.raises(ValueError, match="no luck"):
        failing.run(wait=15)


def test_run_returns_the_id_and_keeps_the_reason(app: Backbeat):
    run_id = add.run(1, reason="late feed")

    assert open_store().ledger.get(run_id)["why"] == "late feed"


def test_canvas_is_made_of_jobs(worker: Any):
    line = chain(add.s(1, 2), add.s(3), add.si(7, 0))
    fan = group(add.s(i, i) for i in range(3))

    assert line.apply_async().get(timeout=15) == 7
    assert fan.apply_async().get(timeout=15) == [0, 2, 4]
    assert add.starmap([(1, 2), (3, 4)]).apply_async().get(timeout=15) == [3, 7]
    assert add.chunks([(1, 2), (3, 4)], 1).apply_async().get(timeout=15) == [[3], [7]]


@pytest.fixture
def adopted() -> Iterator[None]:
    yield
    for name in ("legacy.when", "legacy.nightly", "legacy.total"):
        registry.jobs.pop(name, None)


@pytest.mark.usefixtures("adopted")
class TestAdoption:
    def test_an_adopted_task_runs_unchanged(self, worker: Any):
        nightly = adopt(legacy, retry=2)

        answer = legacy.delay(datetime(2026, 11, 23, tzinfo=UTC), times=2)

        assert nightly.spec.description == "Written long before Backbeat came."
        assert answer.id.startswith("legacy.when:")
        assert answer.get(timeout=15) == ["datetime", 2]

    def test_a_task_may_serve_a_job_of_another_name(self, worker: Any):
        nightly = adopt(legacy, "legacy.nightly", pool="express")

        answer = nightly.delay(datetime(2026, 11, 23, tzinfo=UTC))

        assert nightly.spec.task == "legacy.when"
        assert answer.id.startswith("legacy.nightly:")
        assert answer.get(timeout=15) == ["datetime", 1]

    def test_a_task_that_takes_pydantic_models_gets_them(self, worker: Any):
        assert adopt(total).delay(Order(number=1, total=Decimal("9.90"))).get(timeout=15) == "Order 9.90"

    def test_arguments_are_counted_as_celery_does(self, app: Backbeat):
        nightly = adopt(legacy)

        with pytest.raises(BadArguments, match="moment: missing"):
            nightly.delay()

    def test_a_plain_call_is_celerys_plain_call(self, app: Backbeat):
        assert adopt(legacy)("anything") == ["str", 1]

    def test_only_a_task_can_be_adopted(self):
        with pytest.raises(DefinitionError, match=r"expected a Celery task; got <built-in function len>. Use @job"):
            adopt(len)  # type: ignore[arg-type] # what is tested

    def test_a_task_can_not_be_made_a_job_by_the_decorator(self, app: Backbeat):
        with pytest.raises(DefinitionError, match=r"got the Celery task .*Use adopt\(task, …\)"):
            job("legacy.when")(legacy)

    def test_an_app_without_a_ledger_is_named(self):
        nightly = adopt(legacy)
        Celery("bare", broker="memory://").set_current()

        with pytest.raises(ConfigurationError, match=r"belongs to the Celery app 'bare'.*Make it with Backbeat\('bare'\)"):
            nightly.delay(1)

"""A run that is asked for under a key is one run: asked twice, asked by many at once, asked after its end."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from redis.connection import AbstractConnection as Connection

from backbeat import conf, job, submit
from backbeat.core.job import JobSpec
from backbeat.core.state import RunState
from backbeat.errors import ConfigurationError
from backbeat.runtime import provided
from backbeat.store.store import Store, open_store
from tests.support.eventually import eventually
from tests.support.jobs import no_jobs
from tests.support.servers import RedisServer

__all__ = ["no_jobs"]

RUN = "billing.pay:invoice-42"


@pytest.fixture
def store(redis_server: RedisServer, redis_url: str, no_jobs: object) -> Iterator[Store]:
    @job("billing.pay")
    def pay(amount: int) -> int:
        return amount

    with conf.override(redis_url=redis_server.url, broker_url=redis_server.broker_url, key_retention=0.5):
        yield open_store()


def pay(amount: int = 1) -> str:
    return submit("billing.pay", args=[amount], key="invoice-42")


def queued(store: Store) -> int:
    return store.slots.client.llen("default.p5")


def test_many_who_ask_at_once_get_one_run(store: Store) -> None:
    with ThreadPoolExecutor(16) as pool:
        run_ids = set(pool.map(lambda number: pay(number), range(64)))

    assert run_ids == {RUN}
    assert queued(store) == 1


def test_the_arguments_of_the_first_who_asked_stay(store: Store) -> None:
    pay(1)
    pay(2)

    assert store.ledger.get(RUN)["x"] == "[[1],\t{}]"


def test_a_key_stands_for_its_run_after_the_end_until_its_time_is_over(store: Store) -> None:
    pay()
    store.ledger.claim(RUN, "w", 30, "w1")
    store.ledger.finish(RUN, "w", 1, RunState.SUCCEEDED, {})

    assert pay() == RUN
    assert (queued(store), store.ledger.get(RUN)) == (1, {})

    eventually(lambda: pay() and queued(store) == 2, within=5, message="BACKBEAT_KEY_RETENTION")


def test_without_a_database_nothing_can_wait_for_its_commit(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provided, "_provided", provided.Provided())

    with pytest.raises(ConfigurationError, match=r"expected Django with 'backbeat.admin' among INSTALLED_APPS"):
        submit("billing.pay", args=[1], on_commit=True)


def test_policies_that_were_changed_elsewhere_count_from_the_next_run(store: Store) -> None:
    submit("billing.pay", args=[1])
    submit("billing.pay", args=[2])
    elsewhere = Store(store.slots)
    elsewhere.index.put(JobSpec("billing.pay", "billing.pay", pool="elsewhere"))

    submit("billing.pay", args=[3])

    assert (queued(store), store.slots.client.llen("elsewhere.p5")) == (2, 1)
    elsewhere.index.put(JobSpec("billing.pay", "billing.pay", pool="third"))
    submit("billing.pay", args=[4])
    assert store.slots.client.llen("third.p5") == 1
    elsewhere.index.forget("billing.pay", [])
    submit("billing.pay", args=[5])
    assert queued(store) == 3, "what the code says counts again"


def test_who_asks_again_asks_redis_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    submit("billing.pay", args=[1])
    asked: list[object] = []
    send = Connection.send_packed_command
    monkeypatch.setattr(Connection, "send_packed_command", lambda *args, **options: asked.append(1) or send(*args, **options))

    submit("billing.pay", args=[2])

    assert len(asked) == 1

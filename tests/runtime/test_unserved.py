"""Queues that jobs use and no live worker consumes. Real Redis."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from backbeat.core.job import JobSpec, Schedule
from backbeat.core.when import Every
from backbeat.runtime.queue_check import Unserved, without_consumer
from backbeat.store.slots import Slots
from backbeat.store.store import Store
from backbeat.store.vitals import Process

HOURLY = (Schedule(Every("1h")),)


@pytest.fixture
def store(redis_client: redis.Redis) -> Iterator[Store]:
    return Store(Slots(redis_client, "t", 4))


def worker(*queues: str, seen: int = 0) -> Process:
    return Process("w", "worker", "w", "h", 1, 0, seen, seen, 4_000, {"queues": list(queues)})


def test_a_queue_without_a_consumer_is_named_with_its_jobs_and_what_waits(store: Store) -> None:
    store.index.put_many([JobSpec(name, "t", pool="mail", schedules=HOURLY) for name in ("b", "a")])
    store.index.put(JobSpec("c", "t", schedules=HOURLY))
    store.slots.client.lpush("mail.p5", "one", "two")

    assert without_consumer(store, [worker("default.p5")], 0) == [Unserved("mail.p5", ("a", "b"), 2)]


def test_none_is_named_when_all_are_consumed(store: Store) -> None:
    store.index.put(JobSpec("a", "t", schedules=HOURLY))

    assert without_consumer(store, [worker("default.p5")], 0) == []


@pytest.mark.parametrize("alive", [[], [worker("default.p5", seen=-60_000)]], ids=["none", "silent"])
def test_all_are_named_while_no_worker_lives(store: Store, alive: list[Process]) -> None:
    store.index.put(JobSpec("a", "t", schedules=HOURLY))

    assert without_consumer(store, alive, 0) == [Unserved("default.p5", ("a",), 0)]


def test_policies_that_no_job_has_any_more_name_nothing(store: Store) -> None:
    store.index.put(JobSpec("a", "t", pool="mail", schedules=HOURLY))
    store.index.put(JobSpec("a", "t", schedules=HOURLY))

    assert without_consumer(store, [worker("default.p5")], 0) == []


def test_another_broker_keeps_the_count_to_itself(redis_client: redis.Redis) -> None:
    store = Store(Slots(redis_client, "t", 4, direct=False))
    store.index.put(JobSpec("a", "t", schedules=HOURLY))

    assert without_consumer(store, [], 0) == [Unserved("default.p5", ("a",), None)]

"""A burst: what is due next in a shard is read behind the batch before, and nothing is fired twice or left. Real Redis."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis

from backbeat.core.job import JobSpec, Overlap, Schedule
from backbeat.core.when import Every
from backbeat.runtime import firing
from backbeat.runtime.firing import Firer
from backbeat.store.leases import Lease, Leases
from backbeat.store.slots import Slots
from backbeat.store.store import Store


@pytest.fixture
def store(redis_client: redis.Redis) -> Iterator[Store]:
    return Store(Slots(redis_client, "t", 2))


@pytest.fixture(autouse=True)
def few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(firing, "READ_LIMIT", 6)
    monkeypatch.setattr(firing, "FIRE_LIMIT", 6)


def due(store: Store, count: int) -> set[str]:
    """So many schedules whose time has come."""
    names = {f"j{number}" for number in range(count)}
    store.index.put_many(JobSpec(name, "t", schedules=(Schedule(Every("1h")),), overlap=Overlap.ALLOW) for name in names)
    for name in names:
        store.slots.client.zadd(store.slots.of(name).due, {name: store.slots.now_ms() - 1_000})
    return names


def leases(store: Store, holder: str = "beat") -> list[Lease]:
    return Leases(store.slots, holder, 30).take(range(store.slots.count))


@pytest.fixture
def counting(store: Store, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    asked: list[int] = []
    read = store.index.due

    def counted(wanted: Any, limit: int) -> Any:
        asked.append(len(wanted))
        return read(wanted, limit)

    monkeypatch.setattr(store.index, "due", counted)
    return asked


def drained(firer: Firer, held: list[Lease]) -> int:
    steps = 1
    while firer.step(held) == 0.0:
        steps += 1
    return steps


def test_every_entry_of_a_burst_is_fired_once(store: Store) -> None:
    names = due(store, 100)
    firer = Firer(store)

    drained(firer, leases(store))

    runs = store.slots.client.lrange("default.p5", 0, -1)
    assert len(runs) == len(names)
    assert dict(firer.counts) == {"fired": 100, "refused": 0, "omitted": 0, "duplicates": 0}


def test_shards_that_are_full_are_not_asked_again(store: Store, counting: list[int]) -> None:
    due(store, 100)

    drained(Firer(store), leases(store))

    assert counting[0] == store.slots.count
    assert counting.count(0) >= 3


def test_a_shard_that_was_not_full_is_asked_while_another_is_worked_off(store: Store, counting: list[int]) -> None:
    due(store, 100)
    held = leases(store)
    store.slots.client.delete(store.slots.all[1].due)
    firer = Firer(store)
    firer.step(held)

    firer.step(held)

    assert counting == [2, 1]


def test_what_was_read_for_a_lease_that_is_gone_is_forgotten(store: Store) -> None:
    due(store, 100)
    firer = Firer(store)
    firer.step(leases(store))
    Leases(store.slots, "beat", 30).release(range(store.slots.count))
    again = leases(store, "another")

    drained(Firer(store), again)

    assert firer.step([]) > 0
    assert len(store.slots.client.lrange("default.p5", 0, -1)) == 100


def test_an_entry_that_was_edited_since_it_was_read_is_refused(store: Store) -> None:
    names = due(store, 100)
    held = leases(store)
    firer = Firer(store)
    firer.step(held)
    for name in names:
        store.slots.client.zadd(store.slots.of(name).due, {name: store.slots.now_ms() + 3_600_000}, xx=True)
    fired = firer.counts["fired"]

    drained(firer, held)

    assert firer.counts["fired"] == fired
    assert firer.counts["refused"] > 0

"""When a scheduler looks at the whole index, and when the mark of the last edit is enough. Real Redis."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import redis

from backbeat.core.entry import entries_of
from backbeat.core.job import JobSpec, Schedule
from backbeat.core.template import Template
from backbeat.core.when import Every
from backbeat.runtime import lookout
from backbeat.runtime.lookout import Lookout
from backbeat.store.edits import Edits
from backbeat.store.foreign import Foreign, ForeignEntries
from backbeat.store.leases import Lease
from backbeat.store.slots import Slots
from backbeat.store.store import Store
from tests.support.eventually import eventually

LED = [Lease(0, "beat", 1, 0)]
SPEC = JobSpec("reports.daily", "t", schedules=(Schedule(Every("1h")),))


@pytest.fixture
def store(redis_client: redis.Redis) -> Iterator[Store]:
    return Store(Slots(redis_client, "t", 4))


@pytest.fixture
def asleep(store: Store) -> Lookout:
    """One that has just looked, and found nothing due for long."""
    watching = Lookout(Edits(store.slots))
    assert watching.needed(LED, gate_open=True)
    watching.looked(60.0)
    return watching


def test_nothing_new_needs_no_look(asleep: Lookout) -> None:
    assert not asleep.needed(LED, gate_open=True)


def test_a_saved_job_needs_one(asleep: Lookout, store: Store) -> None:
    store.index.put(SPEC)

    assert asleep.needed(LED, gate_open=True)


def test_an_entry_of_another_scheduler_needs_one(asleep: Lookout, store: Store) -> None:
    (entry,) = entries_of(SPEC)
    ForeignEntries(store.slots).write(1, [Foreign("~n", "key", entry, Template.of(SPEC), 1)])

    assert asleep.needed(LED, gate_open=True)


def test_an_edit_between_the_mark_and_the_end_of_the_look_needs_another(store: Store) -> None:
    watching = Lookout(Edits(store.slots))
    watching.needed(LED, gate_open=True)
    store.index.put(SPEC)
    watching.looked(60.0)

    assert watching.needed(LED, gate_open=True)


def test_a_server_that_lost_its_data_needs_one(asleep: Lookout, store: Store) -> None:
    store.index.put(SPEC)
    asleep.needed(LED, gate_open=True)
    asleep.looked(60.0)
    store.slots.client.flushall()

    assert asleep.needed(LED, gate_open=True)


@pytest.mark.parametrize("leases", [[], [Lease(0, "beat", 2, 0)], [*LED, Lease(1, "beat", 1, 0)]], ids=["none", "fence", "more"])
def test_other_leases_need_one(asleep: Lookout, leases: list[Lease]) -> None:
    assert asleep.needed(leases, gate_open=True)


def test_a_renewed_lease_needs_none(asleep: Lookout) -> None:
    assert not asleep.needed([Lease(0, "beat", 1, 3_000)], gate_open=True)


def test_a_gate_that_opened_needs_one(store: Store) -> None:
    watching = Lookout(Edits(store.slots))
    watching.needed(LED, gate_open=False)
    watching.looked(60.0)

    assert watching.needed(LED, gate_open=True)


def test_what_falls_due_needs_one_in_time(store: Store) -> None:
    watching = Lookout(Edits(store.slots))
    watching.needed(LED, gate_open=True)
    watching.looked(0.2)
    began = time.monotonic()

    eventually(lambda: watching.needed(LED, gate_open=True), within=2)

    assert 0.19 <= time.monotonic() - began < 1


def test_it_looks_now_and_then_whatever_happens(asleep: Lookout, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    monkeypatch.setattr(lookout.time, "monotonic", lambda: now + lookout.LOOK_EVERY + 0.1)

    assert asleep.needed(LED, gate_open=True)


def test_a_clock_that_went_back_does_not_make_it_sleep_on(asleep: Lookout, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.monotonic()
    monkeypatch.setattr(lookout.time, "monotonic", lambda: now - 3600)

    assert asleep.needed(LED, gate_open=True)


def test_a_look_that_failed_is_made_again(asleep: Lookout, store: Store) -> None:
    store.index.put(SPEC)
    assert asleep.needed(LED, gate_open=True)

    assert asleep.needed(LED, gate_open=True)

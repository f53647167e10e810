"""How a slot stands, read in one script."""

from __future__ import annotations

from backbeat.core.job import JobSpec, Schedule
from backbeat.core.when import Every, Once, from_ms
from backbeat.store.leases import Leases
from backbeat.store.stands import Stand, stands
from backbeat.store.store import Store
from tests.support.eventually import eventually


def of(store: Store, job: str) -> Stand:
    return stands(store.slots)[store.slots.of(job).slot]


def test_an_empty_slot_is_led_by_nobody_and_late_for_nothing(store: Store) -> None:
    (first, *_) = stands(store.slots)

    assert (first.leader, first.head, first.late_ms, first.entries) == (None, None, 0, 0)


def test_a_lease_that_has_ended_leads_nothing(store: Store) -> None:
    Leases(store.slots, "beat", 0.1).take([0])
    assert stands(store.slots)[0].leader == "beat"

    eventually(lambda: stands(store.slots)[0].leader is None, within=2)

    assert stands(store.slots)[0].fence == 1


def test_the_oldest_due_entry_is_named_with_its_age(store: Store) -> None:
    store.index.put(JobSpec("a", "t", schedules=(Schedule(Every("1h"), key="x"), Schedule(Every("1h"), key="y"))))
    now = store.slots.now_ms()
    store.slots.client.zadd(store.slots.of("a").due, {"a#x": now - 5_000, "a#y": now - 1_000})

    found = of(store, "a")

    assert found.head is not None
    assert (found.head.schedule, found.overdue, found.entries) == ("a#x", 2, 2)
    assert 5_000 <= found.late_ms < 7_000


def test_an_entry_without_another_occurrence_is_held_but_not_scheduled(store: Store) -> None:
    past = from_ms(store.slots.now_ms() - 1_000)
    store.index.put(JobSpec("a", "t", schedules=(Schedule(Once(past)),)))

    assert (of(store, "a").entries, of(store, "a").scheduled, of(store, "a").overdue) == (1, 0, 0)


def test_a_parked_entry_is_counted_and_no_longer_late(store: Store) -> None:
    store.index.put(JobSpec("a", "t", schedules=(Schedule(Every("1h")),)))
    store.slots.client.zadd(store.slots.of("a").due, {"a": 1})
    store.index.park(store.slots.of("a").slot, "a", "it can't be read")

    assert (of(store, "a").parked, of(store, "a").head) == (1, None)


def test_events_and_messages_on_their_way_are_counted(store: Store) -> None:
    keys = store.slots.of("a")
    at = store.slots.now_ms()
    store.slots.client.xadd(keys.events, {"k": "started"})
    store.slots.client.xadd(keys.outbox, {"q": "default.p5", "m": "{}"})

    found = of(store, "a")

    assert (found.events, found.letters) == (1, 1)
    assert found.oldest_event is not None
    assert abs(found.oldest_event - at) < 1000

"""RedBeat's entries in our index: what a look at RedBeat's storage changes, and what a fire reports back. Real Redis."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
import redis
from celery.schedules import crontab
from redbeat.schedulers import RedBeatScheduler

from backbeat.core.foreign import foreign_id
from backbeat.core.job import JobSpec, Schedule
from backbeat.core.when import Every, from_ms
from backbeat.runtime.firing import Firer, Gate
from backbeat.runtime.redbeat import Mirror
from backbeat.runtime.sweeper import Sweeper
from backbeat.store.foreign import ForeignEntries
from backbeat.store.leases import Leases
from backbeat.store.slots import Slots
from backbeat.store.store import Store
from tests.support.eventually import eventually
from tests.support.old_beat import OldBeat, decoded, now


@dataclass
class Side:
    """One scheduler's mirror with the leases and the firer beside it."""

    store: Store
    mirror: Mirror
    firer: Firer
    gate: Gate
    leases: Leases

    def take(self) -> None:
        self.held = self.leases.take(range(self.store.slots.count))

    def fire(self) -> None:
        self.firer.step(self.held)

    def next(self, name: str) -> int | None:
        return self.store.index.next_times([foreign_id(name)])[foreign_id(name)]

    def record(self, name: str) -> str | None:
        return self.store.slots.client.hget(self.store.slots.of(foreign_id(name)).entries, foreign_id(name))

    def parked(self, name: str) -> str:
        return self.store.index.parked().get(foreign_id(name), "")

    def messages(self, queue: str = "celery") -> list[dict[str, Any]]:
        return [decoded(text) for text in self.store.slots.client.lrange(queue, 0, -1)]


@pytest.fixture
def old(redis_url: str) -> OldBeat:
    return OldBeat(redis_url)


def make(client: redis.Redis, old: OldBeat, *, holder: str = "one", told: str = "ledger", alone: bool = True) -> Side:
    store = Store(Slots(client, "t", 4, direct=True))
    gate = Gate(told=told)
    leases = Leases(store.slots, holder, 60.0)
    side = Side(store, None, Firer(store, gate=gate), gate, leases)  # type: ignore[arg-type] # set in the next line
    side.mirror = Mirror(old.app, store, gate, lambda: side.held[0] if side.held else None, lambda: alone)
    side.take()
    return side


@pytest.fixture
def side(redis_client: redis.Redis, old: OldBeat) -> Side:
    return make(redis_client, old)


def test_a_saved_entry_is_due_at_its_own_times(side: Side, old: OldBeat) -> None:
    entry = old.save("a b", 60)

    side.mirror.step()

    assert side.next("a b") == (int(entry.last_run_at.timestamp()) + 60) * 1000


def test_a_quiet_look_reads_no_entry(side: Side, old: OldBeat) -> None:
    for number in range(50):
        old.save(f"n{number}", 60)
    side.mirror.step()
    client = side.store.slots.client
    client.config_resetstat()

    assert side.mirror.step() == 0

    assert {"cmdstat_hmget", "cmdstat_hget", "cmdstat_hgetall"} & set(client.info("commandstats")) <= {"cmdstat_hgetall"}


def test_an_edit_moves_the_entry_and_fires_nothing_that_is_past(side: Side, old: OldBeat) -> None:
    old.save("n", 3600)
    side.mirror.step()
    before = side.store.slots.now_ms()

    old.save("n", crontab(minute="*"))
    side.mirror.step()

    moved = side.next("n")
    assert moved is not None
    assert before < moved <= before + 60_000


def test_an_edit_of_anything_but_the_time_keeps_an_entry_that_is_due_this_moment(side: Side, old: OldBeat) -> None:
    old.save("n", 1)
    side.mirror.step()
    due = eventually(lambda: (at := side.next("n")) and at <= side.store.slots.now_ms() and at, within=5)

    old.save("n", 1, kwargs={"word": "new"})
    side.mirror.step()
    side.fire()

    (first, *_) = side.messages()[::-1]
    assert first["headers"]["id"] == f"{foreign_id('n')}@{from_ms(due).strftime('%Y-%m-%dT%H:%M:%SZ')}"
    assert first["headers"]["kwargsrepr"] == '{"word":"new"}'


def test_two_saves_in_one_second_are_both_seen(side: Side, old: OldBeat) -> None:
    old.save("n", 60, kwargs={"word": "a"})
    side.mirror.step()

    old.save("n", 60, kwargs={"word": "b"})
    side.mirror.step()
    old.save("n", 60, kwargs={"word": "c"})
    side.mirror.step()

    assert '"c"' in (side.record("n") or "")


def test_a_disabled_entry_is_taken_out_and_comes_back_with_its_next_time(side: Side, old: OldBeat) -> None:
    old.save("n", crontab(minute="*"))
    side.mirror.step()

    old.save("n", crontab(minute="*"), enabled=False)
    side.mirror.step()
    gone = side.next("n")
    old.last_run("n", now() - timedelta(days=3))
    old.save("n", crontab(minute="*"))
    side.mirror.step()

    assert gone is None
    assert (side.next("n") or 0) > side.store.slots.now_ms()


def test_a_deleted_entry_is_forgotten_at_once(side: Side, old: OldBeat) -> None:
    for name in ("stays", "goes"):
        old.save(name, 60)
    side.mirror.step()

    old.entry("goes").delete()
    side.mirror.step()

    assert side.next("goes") is None
    assert side.next("stays") is not None
    assert set(ForeignEntries(side.store.slots).known()) == {foreign_id("stays")}


def test_one_entry_deleted_and_another_made_in_the_same_second(side: Side, old: OldBeat) -> None:
    old.save("goes", 60)
    side.mirror.step()

    old.entry("goes").delete()
    old.save("comes", 60)
    side.mirror.step()

    assert (side.next("goes") is None, side.next("comes") is None) == (True, False)


@pytest.mark.parametrize(
    "definition", ["{", "[]", '{"task": "t", "schedule": {"__type__": "lunar"}}', '{"task": "t", "schedule": 3, "name": 5}']
)
def test_a_broken_entry_is_parked_with_its_reason_and_stops_no_other(side: Side, old: OldBeat, definition: str) -> None:
    old.save("fine", 60)
    old.save("broken", 60)
    old.client.hset("redbeat:broken", "definition", definition)

    side.mirror.step()

    assert "expected" in side.parked("broken")
    assert (side.next("broken") is None, side.next("fine") is None) == (True, False)


def a_text(client: redis.Redis) -> None:
    client.delete("redbeat:broken")
    client.set("redbeat:broken", "no hash")


def bytes_of_nothing(client: redis.Redis) -> None:
    client.hset("redbeat:broken", "definition", b"\xff\xfe")


def nested(client: redis.Redis) -> None:
    client.hset("redbeat:broken", "backbeat", "[" * 100_000)


def nested_schedule(client: redis.Redis) -> None:
    client.hset("redbeat:broken", "definition", "[" * 100_000)


@pytest.mark.parametrize("broken", [a_text, bytes_of_nothing, nested, nested_schedule])
def test_a_record_that_no_redbeat_wrote_is_parked_and_stops_no_other(
    side: Side, old: OldBeat, broken: Callable[[redis.Redis], None]
) -> None:
    for name in ("before", "broken", "fine"):
        old.save(name, 60)
    broken(old.client)

    side.mirror.step()

    assert side.parked("broken")
    assert [side.next(name) is None for name in ("before", "broken", "fine")] == [False, True, False]


def test_a_report_that_can_not_be_read_does_not_keep_an_entry_from_firing(side: Side, old: OldBeat) -> None:
    old.save("n", 60)
    old.client.hset("redbeat:n", "meta", "[" * 100_000)

    side.mirror.step()

    assert side.next("n") is not None


def test_a_broken_entry_that_is_saved_again_is_mended(side: Side, old: OldBeat) -> None:
    old.save("n", 60, options={"countdown": 5})
    side.mirror.step()
    reason = side.parked("n")

    old.save("n", 60)
    side.mirror.step()

    assert "countdown" in reason
    assert side.parked("n") == ""
    assert side.next("n") is not None


def test_an_entry_whose_hash_was_evicted_is_parked(side: Side, old: OldBeat) -> None:
    old.save("n", 60)
    old.client.delete("redbeat:n")

    side.mirror.step()

    assert "its record is gone" in side.parked("n")


def test_a_fire_is_reported_as_redbeat_reads_it(side: Side, old: OldBeat) -> None:
    saved = old.save("n", 1)
    side.mirror.step()
    for _ in range(3):
        at = side.next("n")
        eventually(lambda at=at: (side.store.slots.now_ms() > at, side.fire(), side.next("n") != at)[2], within=5)

    side.mirror.step()

    entry = old.entry("n")
    assert entry.total_run_count == 3
    assert entry.last_run_at == saved.last_run_at.replace(microsecond=0) + timedelta(seconds=3)
    assert len(side.messages()) == 3
    assert int(old.client.zscore("redbeat::schedule", "redbeat:n")) == (side.next("n") or 0) // 1000


def test_a_fire_of_an_entry_deleted_meanwhile_does_not_bring_it_back(side: Side, old: OldBeat) -> None:
    old.save("n", 1)
    side.mirror.step()
    eventually(lambda: (side.fire(), side.messages())[1], within=5)

    old.entry("n").delete()
    side.mirror.step()

    assert old.client.exists("redbeat:n") == 0
    assert old.client.zscore("redbeat::schedule", "redbeat:n") is None


def test_a_fire_reported_does_not_hide_a_save(side: Side, old: OldBeat) -> None:
    old.save("n", 1, kwargs={"word": "old"})
    side.mirror.step()
    eventually(lambda: (side.fire(), side.messages())[1], within=5)
    old.save("n", 1, kwargs={"word": "new"})
    side.mirror._report()

    side.mirror.step()

    assert '"new"' in (side.record("n") or "")


def test_a_stock_scheduler_that_comes_after_us_finds_nothing_due_again(side: Side, old: OldBeat) -> None:
    old.save("n", crontab(minute="0", hour="0", day_of_month="1"))
    old.last_run("n", now() - timedelta(days=70))
    side.mirror.step()
    eventually(lambda: (side.fire(), side.messages())[1], within=5)
    side.mirror.step()
    side.mirror.close()

    stock = RedBeatScheduler(old.app, lazy=True)

    assert not any(entry.is_due()[0] for entry in stock.schedule.values())
    assert old.client.get("redbeat::lock") is None


def test_what_was_due_while_nobody_looked_is_fired_late_once(side: Side, old: OldBeat) -> None:
    old.save("n", crontab(minute="0"))
    old.last_run("n", now() - timedelta(hours=5))

    side.mirror.step()
    eventually(lambda: (side.fire(), side.messages())[1], within=5)

    assert len(side.messages()) == 1


def test_a_stock_redbeat_that_holds_its_lock_is_left_alone_until_it_stops(side: Side, old: OldBeat) -> None:
    old.save("n", 1)
    old.client.set("redbeat::lock", "somebody", px=60_000)

    side.mirror.step()
    while_held = (side.next("n"), side.gate.open)
    old.client.delete("redbeat::lock")
    side.mirror.step()

    assert while_held == (None, False)
    assert side.next("n") is not None
    assert side.gate.open


def test_a_stock_redbeat_that_took_the_lock_from_us_gets_its_entries_back(side: Side, old: OldBeat) -> None:
    old.save("n", 1)
    side.mirror.step()

    old.client.set("redbeat::lock", "somebody", px=60_000)
    eventually(lambda: (side.next("n") or 0) < side.store.slots.now_ms(), within=5)
    side.mirror.step()
    side.fire()

    assert side.messages() == []
    assert side.next("n") is None


def test_a_scheduler_of_ours_that_stays_keeps_the_lock(redis_client: redis.Redis, old: OldBeat) -> None:
    side = make(redis_client, old, alone=False)
    side.mirror.step()

    side.mirror.close()

    assert old.client.get("redbeat::lock") == "backbeat:t"


def test_nothing_is_fired_before_it_was_compared(side: Side, redis_client: redis.Redis, old: OldBeat) -> None:
    old.save("n", 1)
    side.mirror.step()
    old.entry("n").delete()
    redis_client.delete("{t}:redbeat")
    eventually(lambda: (side.next("n") or 0) < side.store.slots.now_ms(), within=5)
    late = make(redis_client, old, holder="one")

    late.fire()
    before = late.messages()
    late.mirror.step()
    late.fire()

    assert (before, late.messages()) == ([], [])


def test_a_leader_that_stood_still_cannot_undo_its_successors_work(side: Side, redis_client: redis.Redis, old: OldBeat) -> None:
    old.save("n", 60, kwargs={"word": "old"})
    side.mirror.step()
    side.leases.release(range(4))
    successor = make(redis_client, old, holder="two")
    old.save("n", 60, kwargs={"word": "new"})
    successor.mirror.step()
    stale = side.mirror._reader.foreign(next(iter(side.mirror._storage.load(["redbeat:n"]))), "n", 0, known=True)

    written = ForeignEntries(side.store.slots).write(side.held[0].fence, [stale])

    assert not written


def test_the_sweeper_leaves_entries_alone(side: Side, old: OldBeat) -> None:
    old.save("n", 60)
    side.mirror.step()
    side.store.index.put(JobSpec("gone", "t", schedules=(Schedule(Every("1m")),)))

    class Nothing:
        def names(self) -> list[str]:
            return []

        def specs(self, _names: object) -> list[JobSpec]:
            return []

        def last_fires(self) -> dict[str, int]:
            return {}

    Sweeper(side.store, Nothing()).step()

    assert [name for name, _ in side.store.index.ids()] == [foreign_id("n")]


def test_our_field_overrules_zone_and_policies_and_redbeat_still_reads_the_entry(side: Side, old: OldBeat) -> None:
    old.save("n", crontab(minute=0, hour=9))
    old.client.hset("redbeat:n", "backbeat", json.dumps({"tz": "Asia/Tokyo", "misfire": "skip"}))

    side.mirror.step()

    assert from_ms(side.next("n") or 0).hour == 0
    assert old.entry("n").task == "old.work"


def test_an_imported_entry_is_left_to_its_job_and_parked_when_the_job_is_gone(side: Side, old: OldBeat) -> None:
    side.store.index.put(JobSpec("report", "old.work", schedules=(Schedule(Every("1m")),)))
    old.save("n", 60)
    old.client.hset("redbeat:n", "backbeat", json.dumps({"imported": "report"}))
    side.mirror.step()
    while_there = (side.next("n"), side.parked("n"))

    side.store.index.forget("report", ["report"])
    old.save("n", 60)
    side.mirror.step()

    assert while_there == (None, "")
    assert "report" in side.parked("n")


def test_workers_that_know_no_ledger_get_a_plain_message_and_no_run_is_kept(redis_client: redis.Redis, old: OldBeat) -> None:
    side = make(redis_client, old, told="stock")
    old.save("n", 1, options={"priority": 6, "expires": 30, "headers": {"tenant": "x"}})
    side.mirror.step()
    eventually(lambda: (side.fire(), side.messages("celery\x06\x166"))[1], within=5)

    (message,) = side.messages("celery\x06\x166")
    assert "backbeat" not in message["headers"]
    assert (message["headers"]["tenant"], message["headers"]["celery_beat_task"]) == ("x", True)
    assert message["headers"]["expires"] is not None
    assert (message["properties"]["priority"], message["properties"]["delivery_info"]["routing_key"]) == (6, "celery")
    assert list(redis_client.scan_iter("{t:*}:run:*")) == []
    side.mirror.step()
    assert old.entry("n").total_run_count == 1

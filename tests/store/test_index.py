"""The time index: from a definition to a message in a queue, once."""

from __future__ import annotations

import base64
import json

import pytest

from backbeat.core.calendar import Calendar
from backbeat.core.job import JobSpec, Misfire, Overlap, Schedule
from backbeat.core.when import Cron, Every, Once, from_ms
from backbeat.runtime.firing import Firer
from backbeat.store.leases import Lease, Leases
from backbeat.store.store import Store
from tests.support.eventually import eventually


def spec_of(name: str = "reports.daily", **options: object) -> JobSpec:
    options.setdefault("schedules", (Schedule(Every("1h"), args=("a",), kwargs={"n": 1}),))
    return JobSpec(name, "task.of." + name, **options)  # type: ignore[arg-type]  # options are JobSpec's own


def leases(store: Store, holder: str = "beat") -> list[Lease]:
    return Leases(store.slots, holder, 30).take(range(store.slots.count))


def make_due(store: Store, schedule_id: str, ago_ms: int = 1000) -> int:
    """Move an entry's place into the past, as if its time had come; returns the nominal time."""
    nominal = store.slots.now_ms() - ago_ms
    store.slots.client.zadd(store.slots.of(schedule_id).due, {schedule_id: nominal}, xx=True)
    return nominal


def queue(store: Store, name: str = "default.p5") -> list[dict]:
    return [json.loads(message) for message in store.slots.client.lrange(name, 0, -1)]


def test_a_new_schedule_is_first_due_at_its_next_occurrence(store: Store) -> None:
    store.index.put(spec_of())
    now = store.slots.now_ms()

    due_at = store.index.next_times(["reports.daily"])["reports.daily"]

    assert due_at == (now // 3_600_000 + 1) * 3_600_000


def test_a_due_occurrence_becomes_one_run_and_one_celery_message(store: Store) -> None:
    store.index.put(spec_of(pool="reports", priority=9))
    nominal = make_due(store, "reports.daily")

    Firer(store).step(leases(store))

    (message,) = queue(store, "reports.p9")
    run_id = message["headers"]["id"]
    args, kwargs, _embed = json.loads(base64.b64decode(message["body"]))
    assert run_id == f"reports.daily@{from_ms(nominal).isoformat(timespec='milliseconds').replace('+00:00', 'Z')}"
    assert (args, kwargs) == (["a"], {"n": 1})
    assert message["headers"]["task"] == "task.of.reports.daily"
    assert message["headers"]["periodic_task_name"] == "reports.daily"
    assert store.ledger.get(run_id)["s"] == "queued"


def test_firing_again_finds_nothing_due(store: Store) -> None:
    store.index.put(spec_of())
    make_due(store, "reports.daily")
    firer = Firer(store)

    firer.step(leases(store))
    wait = firer.step(leases(store))

    assert len(queue(store)) == 1
    assert 0 < wait <= 3600


def test_a_leader_whose_lease_was_taken_over_fires_nothing(store: Store) -> None:
    store.index.put(spec_of())
    make_due(store, "reports.daily")
    old = Leases(store.slots, "old", 30)
    stale = old.take(range(4))
    due = store.index.due(stale, 10)
    old.release(range(4))
    leases(store, "new")
    firer = Firer(store)

    firer.write(due)

    assert queue(store) == []
    assert firer.counts["fired"] == 0


def test_an_entry_that_moved_since_it_was_read_is_refused(store: Store) -> None:
    store.index.put(spec_of(overlap=Overlap.ALLOW))
    make_due(store, "reports.daily")
    held = leases(store)
    seen_by_a = store.index.due(held, 10)
    Firer(store).step(held)
    late = Firer(store)

    late.write(seen_by_a)

    assert len(queue(store)) == 1
    assert late.counts["refused"] == 1


def test_an_edit_of_the_policies_keeps_a_due_entry_in_its_place(store: Store) -> None:
    store.index.put(spec_of())
    due_at = make_due(store, "reports.daily")

    store.index.put(spec_of(priority=8))

    assert store.index.next_times(["reports.daily"]) == {"reports.daily": due_at}


def test_an_edit_of_the_time_computes_the_next_occurrence_anew(store: Store) -> None:
    store.index.put(spec_of())
    make_due(store, "reports.daily")

    store.index.put(spec_of(schedules=(Schedule(Cron("0 0 1 1 *")),)))

    due_at = store.index.next_times(["reports.daily"])["reports.daily"]
    assert due_at is not None
    assert from_ms(due_at).strftime("%m-%d %H:%M") == "01-01 00:00"


def test_a_disabled_schedule_leaves_the_index(store: Store) -> None:
    store.index.put(spec_of())

    store.index.put(spec_of(enabled=False))

    assert store.index.next_times(["reports.daily"]) == {"reports.daily": None}


def test_a_single_moment_fires_once_and_writing_it_again_does_not_fire_it_again(store: Store) -> None:
    now = store.slots.now_ms()
    once = spec_of(schedules=(Schedule(Once(from_ms(now - 1000))),))
    store.index.put(once, since={"reports.daily": now - 2000})
    firer = Firer(store)

    firer.step(leases(store))
    store.index.put(once)
    firer.step(leases(store))

    assert len(queue(store)) == 1
    assert store.index.next_times(["reports.daily"]) == {"reports.daily": None}


def test_a_record_that_cannot_be_read_is_parked_and_the_others_fire(store: Store) -> None:
    store.index.put(spec_of("good"))
    store.index.put(spec_of("bad"))
    store.slots.client.hset(store.slots.of("bad").entries, "bad", "not a record")
    make_due(store, "good")
    make_due(store, "bad")

    Firer(store).step(leases(store))

    assert [message["headers"]["periodic_task_name"] for message in queue(store)] == ["good"]
    assert "can't be read" in store.index.parked()["bad"]


def limited(most: int, every: str = "1h", **options: object) -> JobSpec:
    return spec_of(schedules=(Schedule(Every(every), max_runs=most),), overlap=Overlap.ALLOW, **options)


def test_a_schedule_with_a_number_of_runs_ends_with_the_last_of_them(store: Store) -> None:
    store.index.put(limited(2))
    firer = Firer(store)
    for ago in (3000, 2000, 1000):
        make_due(store, "reports.daily", ago)
        firer.step(leases(store))

    assert len(queue(store)) == 2
    assert firer.counts["omitted"] == 0
    assert store.index.next_times(["reports.daily"]) == {"reports.daily": None}


def test_several_late_occurrences_fire_no_more_than_the_runs_that_are_left(store: Store) -> None:
    store.index.put(limited(3, every="1s", misfire=Misfire.ALL))
    make_due(store, "reports.daily", 10_000)

    Firer(store).step(leases(store))

    assert len(queue(store)) == 3


def test_runs_are_counted_over_edits_and_absences_of_the_schedule(store: Store) -> None:
    store.index.put(limited(1))
    make_due(store, "reports.daily")
    Firer(store).step(leases(store))

    store.index.put(limited(1, enabled=False))
    store.index.put(limited(1, every="2h"))

    assert store.index.next_times(["reports.daily"]) == {"reports.daily": None}


def test_a_higher_number_of_runs_lets_an_ended_schedule_go_on(store: Store) -> None:
    store.index.put(limited(1))
    make_due(store, "reports.daily")
    Firer(store).step(leases(store))

    store.index.put(limited(2))
    make_due(store, "reports.daily", 500)
    Firer(store).step(leases(store))

    assert len(queue(store)) == 2
    assert store.index.next_times(["reports.daily"]) == {"reports.daily": None}


def test_an_occurrence_left_out_for_overlap_is_no_run(store: Store) -> None:
    store.index.put(spec_of(schedules=(Schedule(Every("1h"), max_runs=2),), overlap=Overlap.SKIP))
    firer = Firer(store)
    for ago in (3000, 2000):
        make_due(store, "reports.daily", ago)
        firer.step(leases(store))

    assert (len(queue(store)), firer.counts["omitted"]) == (1, 1)
    assert store.index.next_times(["reports.daily"])["reports.daily"] is not None


def test_counting_anew_lets_an_ended_schedule_begin_again(store: Store) -> None:
    store.index.put(limited(1))
    make_due(store, "reports.daily")
    Firer(store).step(leases(store))

    store.index.recount(["reports.daily"])
    store.index.put(limited(1))

    assert store.index.next_times(["reports.daily"])["reports.daily"] is not None


def test_schedules_without_a_limit_are_not_counted(store: Store) -> None:
    store.index.put(spec_of())
    make_due(store, "reports.daily")

    Firer(store).step(leases(store))

    assert not store.slots.client.exists(store.slots.of("reports.daily").spent)


@pytest.mark.parametrize(("overlap", "messages", "omitted"), [("skip", 1, 1), ("allow", 2, 0), ("queue", 1, 0)])
def test_an_occurrence_that_meets_an_unfinished_run_follows_the_overlap_policy(
    store: Store, overlap: str, messages: int, omitted: int
) -> None:
    store.index.put(spec_of(overlap=Overlap(overlap)))
    firer = Firer(store)
    for ago in (2000, 1000):
        make_due(store, "reports.daily", ago)
        firer.step(leases(store))

    assert len(queue(store)) == messages
    assert firer.counts["omitted"] == omitted


def test_a_queued_occurrence_is_let_go_when_the_run_before_it_ends(store: Store) -> None:
    store.index.put(spec_of(overlap=Overlap.QUEUE))
    firer = Firer(store)
    for ago in (2000, 1000):
        make_due(store, "reports.daily", ago)
        firer.step(leases(store))
    first = queue(store)[0]["headers"]["id"]

    store.ledger.claim(first, "w", 30, "w1")
    store.ledger.finish(first, "w", 1, "succeeded", {})

    assert len(queue(store)) == 2


def test_replacing_cancels_the_run_that_waits_and_asks_the_one_that_runs_to_stop(store: Store) -> None:
    store.index.put(spec_of(overlap=Overlap.REPLACE))
    firer = Firer(store)
    make_due(store, "reports.daily", 3000)
    firer.step(leases(store))
    first = queue(store)[0]["headers"]["id"]
    store.ledger.claim(first, "w", 30, "w1")

    make_due(store, "reports.daily", 1000)
    firer.step(leases(store))

    assert store.ledger.renew("w", [first], 30) == ({first}, {first})
    store.ledger.finish(first, "w", 1, "cancelled", {})
    assert len(queue(store)) == 2


def closed_for(store: Store, *days: str) -> Calendar:
    calendar = Calendar("freeze", days)
    store.calendars.write([calendar])
    return calendar


def today(store: Store) -> str:
    return from_ms(store.slots.now_ms()).strftime("%Y-%m-%d")


def test_an_occurrence_on_a_closed_day_is_left_out_with_a_record(store: Store) -> None:
    closed_for(store, today(store))
    store.index.put(spec_of(schedules=(Schedule(Every("1h"), calendar="freeze"),)))
    make_due(store, "reports.daily", 0)
    firer = Firer(store)

    firer.step(leases(store))

    assert queue(store) == []
    assert firer.meter.figures()["missed"] == {"blackout": 1}


def test_an_edited_calendar_counts_for_what_is_due_next(store: Store) -> None:
    other_process = Store(store.slots)
    closed_for(store, today(store))
    store.index.put(spec_of(schedules=(Schedule(Every("1h"), calendar="freeze"),), overlap=Overlap.ALLOW))
    make_due(store, "reports.daily", 0)
    firer = Firer(store)
    firer.step(leases(store))

    other_process.calendars.write([Calendar("freeze", ["2001-01-01"])])
    eventually(lambda: store.calendars.known()["freeze"].days == ("2001-01-01",), within=1.0)
    make_due(store, "reports.daily", 0)
    firer.step(leases(store))

    assert len(queue(store)) == 1


def test_an_entry_whose_calendar_is_unknown_is_parked_with_the_reason(store: Store) -> None:
    closed_for(store, today(store))
    store.index.put(spec_of("a", schedules=(Schedule(Every("1h"), calendar="freezer"),)))
    store.index.put(spec_of("b"))
    make_due(store, "a")
    make_due(store, "b")

    Firer(store).step(leases(store))

    assert [message["headers"]["periodic_task_name"] for message in queue(store)] == ["b"]
    assert "no calendar is named 'freezer'. Did you mean 'freeze'?" in store.index.parked()["a"]


def test_calendars_are_written_only_when_they_change(store: Store) -> None:
    calendar = closed_for(store, "sat")

    assert store.calendars.write([calendar]) == []
    assert store.calendars.write([]) == ["freeze"]
    assert store.calendars.known() == {}

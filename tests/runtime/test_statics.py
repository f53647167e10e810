"""`beat_schedule` of a configuration, in RedBeat's storage and in our index. Real Redis."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import redis
from celery.beat import BeatLazyFunc
from celery.schedules import crontab, schedule, solar
from redbeat import RedBeatScheduler

from backbeat.core.foreign import foreign_id
from backbeat.core.when import Solar, from_text
from backbeat.runtime.firing import Firer, Gate
from backbeat.runtime.redbeat import Mirror
from backbeat.store.index import timing_of
from backbeat.store.leases import Leases
from backbeat.store.slots import Slots
from backbeat.store.store import Store
from tests.support.old_beat import OldBeat, now


class Beat:
    """A scheduler's mirror for an app with this configuration, started anew."""

    def __init__(self, client: redis.Redis, redis_url: str, entries: dict[str, Any], **settings: Any) -> None:
        self.old = OldBeat(redis_url, beat_schedule=entries, **settings)
        self.store = Store(Slots(client, "t", 4, direct=True))
        held = Leases(self.store.slots, "one", 60.0).take(range(4))
        self.mirror = Mirror(self.old.app, self.store, Gate(), lambda: held[0], lambda: True)
        self.mirror.step()
        self.firer = Firer(self.store)

    @property
    def due(self) -> set[str]:
        """The ids of what is in the index."""
        return {name for name, _ in self.store.index.ids()}

    def parked(self, name: str) -> str:
        return self.store.index.parked().get(foreign_id(name), "")


@pytest.fixture
def start(redis_client: redis.Redis, redis_url: str) -> Any:
    return lambda entries, **settings: Beat(redis_client, redis_url, entries, **settings)


MINUTELY = {"task": "old.work", "schedule": timedelta(minutes=1)}


def test_entries_of_the_configuration_are_due_and_redbeat_lists_them(start: Any) -> None:
    beat = start(
        {
            "a": MINUTELY,
            "b": {"task": "old.work", "schedule": crontab(minute=0), "options": {"queue": "q"}},
            "c": {**MINUTELY, "schedule": 5},
        }
    )

    assert beat.due == {foreign_id(name) for name in "abc"}
    assert beat.old.client.smembers("redbeat::statics") == {"a", "b", "c"}
    assert beat.old.entry("c").schedule == schedule(5)


def test_what_left_the_configuration_is_gone_at_the_next_start(start: Any) -> None:
    start({"stays": MINUTELY, "goes": MINUTELY})

    beat = start({"stays": MINUTELY})

    assert beat.due == {foreign_id("stays")}
    assert beat.old.client.exists("redbeat:goes") == 0


def test_an_entry_saved_by_hand_is_not_touched_by_the_configuration(start: Any) -> None:
    first = start({"config": MINUTELY})
    first.old.save("by hand", 60)

    beat = start({})

    assert beat.due == {foreign_id("by hand")}


def test_a_start_keeps_the_last_run_and_the_place(start: Any) -> None:
    first = start({"n": MINUTELY})
    before = first.store.index.next_times([foreign_id("n")])
    first.old.last_run("n", now() - timedelta(minutes=5))

    beat = start({"n": MINUTELY})

    assert beat.old.entry("n").last_run_at < now() - timedelta(minutes=4)
    (after,) = beat.store.index.next_times([foreign_id("n")]).values()
    assert abs((after or 0) - (before[foreign_id("n")] or 0)) < 60_000


def test_a_solar_schedule_which_redbeat_cannot_save_is_due_all_the_same(start: Any) -> None:
    beat = start({"sun": {"task": "old.work", "schedule": solar("sunset", 52.5, 13.4)}, "n": MINUTELY})

    record = beat.store.slots.client.hget(beat.store.slots.of(foreign_id("sun")).entries, foreign_id("sun"))
    assert from_text(timing_of(record)) == Solar("sunset", 52.5, 13.4)
    assert not RedBeatScheduler(beat.old.app, lazy=True).schedule.get("sun")
    assert start({"n": MINUTELY}).due == {foreign_id("n")}


def test_a_crontab_given_as_a_set_is_due_all_the_same(start: Any) -> None:
    assert start({"n": {"task": "old.work", "schedule": crontab(minute={0, 30})}}).due == {foreign_id("n")}


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"task": "old.work"}, "schedule"),
        ({**MINUTELY, "args": [BeatLazyFunc(now)]}, "BeatLazyFunc"),
        ({**MINUTELY, "kwargs": {"file": object()}}, "object"),
        ({**MINUTELY, "colour": "red"}, "colour"),
        ({**MINUTELY, "options": {"link": {"task": "x"}}}, "link"),
    ],
)
def test_a_broken_entry_of_the_configuration_is_parked_and_stops_no_other(start: Any, entry: dict[str, Any], said: str) -> None:
    beat = start({"broken": entry, "fine": MINUTELY})

    assert beat.due == {foreign_id("fine")}
    assert said in beat.parked("broken")


def test_a_broken_entry_that_was_mended_is_due_at_the_next_start(start: Any) -> None:
    start({"n": {"task": "old.work"}})

    beat = start({"n": MINUTELY})

    assert (beat.due, beat.parked("n")) == ({foreign_id("n")}, "")


def test_a_server_that_lost_its_data_gets_the_configuration_again(start: Any) -> None:
    beat = start({"n": MINUTELY, "sun": {"task": "old.work", "schedule": solar("sunrise", 1.0, 2.0)}})
    beat.old.client.flushall()

    beat.mirror.step()

    assert beat.due == {foreign_id("n"), foreign_id("sun")}


def test_an_older_process_does_not_bring_back_what_a_newer_one_removed(start: Any) -> None:
    older = start({"n": MINUTELY})
    start({})

    older.mirror.step()

    assert older.due == set()


def test_a_result_backend_that_needs_cleaning_is_cleaned(start: Any) -> None:
    beat = start({}, result_backend="file:///tmp", result_expires=3600)

    assert beat.due == {foreign_id("celery.backend_cleanup")}

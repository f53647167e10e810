"""Holding another scheduler's fires against ours."""

from __future__ import annotations

from backbeat.core.entry import Timing
from backbeat.core.shadow import Snapshot, Verdict, Watched, judge
from backbeat.core.when import Cron, Every

MINUTE = 60_000
SINCE, UNTIL = 10 * MINUTE, 20 * MINUTE


def judged(
    fires: list[int], timing: Timing | None = None, *, unseen: int = 0, first: int | None = 10 * MINUTE + 30, grace: int = 5_000
) -> Verdict:
    last = fires[-1] if fires else first
    watched = Watched(
        "n", timing or Timing(Cron("* * * * *")), Snapshot(first, 7), Snapshot(last, 7 + len(fires) + unseen), tuple(fires)
    )
    return judge(watched, SINCE, UNTIL, tolerance=5_000, grace=grace)


def minutes(*numbers: int, late: int = 300) -> list[int]:
    return [number * MINUTE + late for number in numbers]


def test_the_same_fires_agree_and_their_lag_is_told() -> None:
    found = judged([*minutes(*range(11, 19)), 19 * MINUTE + 900])

    assert found.agrees
    assert (found.predicted, found.fired, found.drift) == (9, 9, 900)


def test_an_occurrence_that_was_not_fired_is_named() -> None:
    found = judged(minutes(11, 12, 14, 15, 16, 17, 18, 19))

    assert not found.agrees
    assert (found.missing, found.extra) == ((13 * MINUTE,), ())


def test_a_fire_that_is_no_occurrence_is_named() -> None:
    found = judged([*minutes(*range(11, 20)), 19 * MINUTE + 30_000])

    assert (found.agrees, found.extra) == (False, (19 * MINUTE + 30_000,))


def test_a_scheduler_that_fires_nothing_misses_everything() -> None:
    found = judged([])

    assert (found.predicted, found.fired, len(found.missing)) == (9, 0, 9)


def test_fires_that_passed_unseen_are_counted_though_they_cannot_be_named() -> None:
    found = judged(minutes(11, 13, 15, 17, 19), unseen=4)

    assert found.agrees
    assert found.missing == ()


def test_what_was_due_just_now_may_still_be_told() -> None:
    assert judged(minutes(*range(11, 18)), grace=150_000).agrees


def test_what_was_fired_before_the_watch_and_told_during_it_is_no_surprise() -> None:
    found = judged(minutes(19), unseen=12, first=6 * MINUTE + 100, grace=200_000)

    assert (found.predicted, found.fired, found.agrees) == (13, 13, True)


def test_an_interval_that_drifts_still_agrees_and_shows_its_drift() -> None:
    timing = Timing(Every("1m"))

    found = judged([(11 + number) * MINUTE + number * 1_000 for number in range(9)], timing, first=10 * MINUTE)

    assert (found.agrees, found.drift) == (True, 8_000)


def test_bounds_of_a_schedule_count() -> None:
    timing = Timing(Cron("* * * * *"), start=15 * MINUTE, end=17 * MINUTE)

    assert judged(minutes(15, 16, 17), timing).agrees


def test_an_entry_that_never_ran_is_predicted_from_the_beginning_of_the_watch() -> None:
    assert judged(minutes(*range(11, 20)), first=None).agrees

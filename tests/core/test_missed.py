"""Counting what fell into a stretch of time."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from backbeat.core.calendar import Calendar, Mode
from backbeat.core.entry import Timing
from backbeat.core.missed import Missed, missed
from backbeat.core.when import Cron, Every, Once, When, to_ms

T0 = to_ms(datetime(2026, 11, 23, tzinfo=UTC))
HOUR = 3_600_000


@pytest.mark.parametrize(
    ("when", "until", "expected"),
    [
        (Cron("0 * * * *"), T0 + 5 * HOUR, Missed(T0 + HOUR, T0 + 5 * HOUR, 5)),
        (Cron("0 * * * *"), T0 + HOUR - 1, None),
        (Every("1h"), T0 + 5 * HOUR, Missed(T0 + HOUR, T0 + 5 * HOUR, 5)),
        (Every("1s"), T0 + 1000 * HOUR, Missed(T0 + 1000, T0 + 1000 * HOUR, 3_600_000)),
        (Once(datetime(2026, 11, 23, 2, tzinfo=UTC)), T0 + 5 * HOUR, Missed(T0 + 2 * HOUR, T0 + 2 * HOUR, 1)),
        (Once(datetime(2026, 11, 22, tzinfo=UTC)), T0 + 5 * HOUR, None),
    ],
)
def test_first_last_and_count_are_told(when: When, until: int, expected: Missed | None) -> None:
    assert missed(Timing(when), T0, until) == expected


def test_the_bounds_of_a_schedule_hold() -> None:
    timing = Timing(Every("1h"), start=T0 + 2 * HOUR, end=T0 + 4 * HOUR)

    assert missed(timing, T0, T0 + 10 * HOUR) == Missed(T0 + 2 * HOUR, T0 + 4 * HOUR, 3)


def test_a_count_that_would_take_too_long_is_a_lower_bound() -> None:
    assert missed(Timing(Cron("* * * * *")), T0, T0 + HOUR, most=10) == Missed(T0 + 60_000, T0 + 600_000, 10, exact=False)
    assert missed(Timing(Cron("* * * * *")), T0, T0 + 600_000, most=10) == Missed(T0 + 60_000, T0 + 600_000, 10, exact=True)


@pytest.mark.parametrize("interval", ["7m", "1h", "90s"])
def test_an_interval_is_counted_as_walking_would_count_it(interval: str) -> None:
    timing, until = Timing(Every(interval)), T0 + 7 * HOUR + 1234
    walked, moment = [], T0
    while (moment := timing.next(moment) or 0) <= until:
        walked.append(moment)

    assert missed(timing, T0, until) == Missed(walked[0], walked[-1], len(walked))


@pytest.mark.parametrize(
    ("when", "mode", "expected"),
    [
        (Cron("0 9 * * *"), Mode.SKIP, Missed(T0 + 9 * HOUR, T0 + 105 * HOUR, 5)),
        (Every("1d"), Mode.SKIP, Missed(T0 + 24 * HOUR, T0 + 96 * HOUR, 4)),
        (Cron("0 9 * * SAT"), Mode.SKIP, None),
        (Cron("0 9 * * SAT"), Mode.SHIFT, Missed(T0 + 9 * HOUR, T0 + 177 * HOUR, 2)),
    ],
)
def test_what_a_calendar_closes_has_not_been_missed(when: When, mode: Mode, expected: Missed | None) -> None:
    weekends = Calendar("weekends", ["sat", "sun"])

    until = T0 + (178 if mode is Mode.SHIFT else 7 * 24 - 1) * HOUR
    assert missed(Timing(when, calendar="weekends", mode=mode.value, days=weekends), T0, until) == expected

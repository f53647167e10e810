"""Closed days: what they do to a schedule, and that nothing gets lost by it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backbeat.core import calendar as calendars
from backbeat.core.calendar import MOST_SHIFTED, Calendar, Fate
from backbeat.core.due import decide
from backbeat.core.entry import Entry, Timing, read
from backbeat.core.job import Misfire
from backbeat.core.state import Reason
from backbeat.core.template import Template
from backbeat.core.when import Cron, Every, When, from_ms, to_ms
from backbeat.errors import DefinitionError

DAY = 86_400_000
MONDAY = to_ms(datetime(2026, 11, 23, tzinfo=UTC))
WEEKEND = Calendar("weekend", ["sat", "sun"])


def timing(when: When, days: Calendar | None, mode: str = "skip", **more: Any) -> Timing:
    return Timing(when, calendar=days.name if days else "", mode=mode, days=days, **more)


def fires(timing: Timing, after: int, count: int) -> list[str]:
    found: list[str] = []
    while len(found) < count and (moment := timing.fires_after(after)) is not None:
        found.append(f"{from_ms(moment):%a %m-%d %H:%M}")
        after = moment
    return found


@pytest.mark.parametrize(
    ("days", "closed", "open_day"),
    [
        (["2026-12-25"], date(2026, 12, 25), date(2027, 12, 25)),
        (["12-25"], date(2031, 12, 25), date(2031, 12, 24)),
        (["2026-12-24/2027-01-02"], date(2027, 1, 2), date(2027, 1, 3)),
        (["Saturday"], date(2026, 11, 28), date(2026, 11, 27)),
        ([date(2026, 12, 25)], date(2026, 12, 25), date(2026, 12, 26)),
        ([(date(2026, 12, 24), date(2026, 12, 26))], date(2026, 12, 25), date(2026, 12, 27)),
        (["2026-01-01/2026-12-31", "2026-06-01"], date(2026, 12, 1), date(2027, 1, 1)),
    ],
)
def test_days_are_written_in_several_ways(days: list[Any], closed: date, open_day: date) -> None:
    calendar = Calendar("c", days)

    assert calendar.closes(closed)
    assert not calendar.closes(open_day)
    assert calendars.read(calendar.text) == calendar


@pytest.mark.parametrize(
    ("days", "words"),
    [
        (["2026-13-01"], "expected a day as 2026-12-25"),
        (["02-30"], "got '02-30'"),
        (["2026-12-25/2026-12-24"], "to end after its start"),
        (["2000-01-01/2026-01-01"], "at most 3660 days"),
        (list(calendars.WEEKDAYS), "at least one open weekday"),
        ([5], "got 5"),
    ],
)
def test_days_that_are_none_are_refused(days: list[Any], words: str) -> None:
    with pytest.raises(DefinitionError, match=words):
        Calendar("c", days)


def test_a_day_is_one_of_the_calendars_own_zone() -> None:
    tokyo = Calendar("c", ["2026-11-24"], tz="Asia/Tokyo")

    assert tokyo.closed(to_ms(datetime(2026, 11, 23, 15, tzinfo=UTC)))
    assert not tokyo.closed(to_ms(datetime(2026, 11, 24, 15, tzinfo=UTC)))


def test_skipping_leaves_closed_days_out() -> None:
    daily = timing(Cron("0 9 * * *"), WEEKEND)

    assert fires(daily, MONDAY + 3 * DAY, 4) == ["Thu 11-26 09:00", "Fri 11-27 09:00", "Mon 11-30 09:00", "Tue 12-01 09:00"]


def test_shifting_moves_to_the_same_time_on_the_next_open_day_and_is_one_with_what_is_due_then() -> None:
    payday = timing(Cron("0 9 28 * *"), WEEKEND, "shift")
    daily = timing(Cron("0 9 * * *"), WEEKEND, "shift")

    assert fires(payday, MONDAY, 2) == ["Mon 11-30 09:00", "Mon 12-28 09:00"]
    assert fires(daily, MONDAY + 4 * DAY, 3) == ["Fri 11-27 09:00", "Mon 11-30 09:00", "Tue 12-01 09:00"]


def test_several_closed_times_keep_their_order_on_the_open_day() -> None:
    odd = timing(Cron("0 18 * * sat"), WEEKEND, "shift")
    both = timing(Cron("0 6,18 * * sat,sun"), WEEKEND, "shift")

    assert fires(odd, MONDAY + DAY, 2) == ["Mon 11-30 18:00", "Mon 12-07 18:00"]
    assert fires(both, MONDAY + 5 * DAY + 7 * 3_600_000, 3) == ["Mon 11-30 06:00", "Mon 11-30 18:00", "Mon 12-07 06:00"]


def test_a_schedule_with_too_much_to_shift_is_told_so() -> None:
    busy = timing(Every("1m"), WEEKEND, "shift")

    with pytest.raises(DefinitionError, match=f"at most {MOST_SHIFTED} occurrences"):
        busy.fires_after(MONDAY + 5 * DAY)


def test_an_entry_keeps_its_calendars_name_and_takes_its_days_where_they_are_known() -> None:
    entry = Entry("job", timing(Cron("0 9 * * *"), WEEKEND, "shift", limit=3), "t", "[[],{}]")

    unknown = read("job", entry.text).timing
    known = read("job", entry.text, lambda: {"weekend": WEEKEND}).timing

    assert (unknown.calendar, unknown.mode, unknown.limit) == ("weekend", "shift", 3)
    assert known.days == WEEKEND
    with pytest.raises(DefinitionError, match="no calendar is named 'weekend'"):
        unknown.fate(MONDAY)
    with pytest.raises(DefinitionError, match="Did you mean 'weekends'"):
        read("job", entry.text, lambda: {"weekends": WEEKEND})


def test_a_calendar_that_nobody_uses_is_not_asked_for() -> None:
    plain = Entry("job", Timing(Cron("0 9 * * *")), "t", "[[],{}]")

    assert read("job", plain.text, lambda: pytest.fail("asked")).text == plain.text


def test_an_occurrence_on_a_closed_day_is_recorded_as_blackout() -> None:
    saturday = MONDAY + 5 * DAY + 9 * 3_600_000

    decision = decide(saturday, saturday, Entry("j", timing(Cron("0 9 * * *"), WEEKEND), "t", ""), Template("t"))

    assert decision.fires == ()
    assert [(one.reason, one.first, one.count) for one in decision.omissions] == [(Reason.BLACKOUT, saturday, 1)]


def test_a_day_that_opens_while_its_occurrence_is_to_come_is_fired_after_all() -> None:
    saturday = MONDAY + 5 * DAY + 9 * 3_600_000
    for mode in calendars.Mode:
        before = timing(Cron("0 9 * * *"), WEEKEND, mode)
        place = before.next(saturday - DAY)
        after = Entry("j", timing(Cron("0 9 * * *"), Calendar("weekend", ["sun"]), mode), "t", "")

        assert place == saturday
        assert decide(saturday, saturday, after, Template("t")).fires == (saturday,)


def brute_force(when: When, days: Calendar, mode: str, until: int) -> tuple[set[int], set[int]]:
    """What fires and what is left out since MONDAY, by hand: the closed days before it count too. The zone is UTC."""
    fires, left_out, moment = set(), set(), MONDAY - 60 * DAY
    while (moment := Timing(when).next(moment)) <= until:  # type: ignore[operator]  # these schedules have no end
        day = from_ms(moment).date()
        if not days.closes(day):
            fires.add(moment)
        elif mode == "skip":
            left_out.add(moment)
        else:
            while days.closes(day):
                day += timedelta(days=1)
            fires.add(to_ms(datetime.combine(day, from_ms(moment).time(), UTC)))
    return {one for one in fires if MONDAY <= one <= until}, {one for one in left_out if one >= MONDAY}


@settings(max_examples=80, deadline=None)
@given(
    when=st.sampled_from(
        [Cron("0 9 * * *"), Cron("30 6,18 * * sat,sun"), Every("7h"), Cron("0 0 28 * *"), Cron("59 23 * * fri"), Every("50h")]
    ),
    closed=st.lists(st.integers(min_value=0, max_value=40), max_size=20),
    weekly=st.sets(st.sampled_from(calendars.WEEKDAYS), max_size=5),
    mode=st.sampled_from(list(calendars.Mode)),
    looks=st.lists(st.integers(min_value=1, max_value=6 * DAY), min_size=4, max_size=14),
)
def test_whenever_anybody_looks_each_occurrence_fires_or_is_recorded_once(
    when: When, closed: list[int], weekly: set[str], mode: str, looks: list[int]
) -> None:
    days = Calendar("c", [*weekly, *(from_ms(MONDAY + number * DAY).date() for number in closed)])
    entry = Entry("j", timing(when, days, mode), "t", "")
    template = Template("t", misfire=Misfire.ALL, misfire_limit=10_000, misfire_window=1e9)
    fired: list[int] = []
    left_out = 0
    place, now = entry.timing.next(MONDAY - 1), MONDAY
    for gap in looks:
        now += gap
        while place is not None and place <= now:
            decision = decide(now, place, entry, template)
            assert decision.next is None or decision.next > place
            fired += decision.fires
            left_out += sum(one.count for one in decision.omissions)
            place = decision.next

    wanted, wanted_out = brute_force(when, days, mode, now)
    assert len(fired) == len(set(fired))
    assert set(fired) == wanted
    assert left_out == len(wanted_out)
    moment, seen = MONDAY - 1, set()
    while (following := entry.timing.fires_after(moment)) is not None and following <= now:
        seen.add(following)
        moment = following
    assert seen == set(fired)
    assert all(entry.timing.fate(one) is Fate.FIRES for one in seen)

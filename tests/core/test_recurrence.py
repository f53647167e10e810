"""iCalendar rules: what dateutil expands, in a zone, under our rules for clock changes."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from dateutil.rrule import rrulestr
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from backbeat.core.occurrence import check, describe, last_before, next_after, upcoming
from backbeat.core.when import RRule, from_ms, from_text, to_ms, to_text
from backbeat.errors import BadSchedule

BERLIN = ZoneInfo("Europe/Berlin")
START = datetime(2020, 1, 6, 2, 30, tzinfo=BERLIN)


def times(rule: str, after: str, n: int, **policies: str) -> list[str]:
    """The next n times after a moment in Berlin, in Berlin."""
    when = RRule(rule, START, "Europe/Berlin", **policies)
    found = upcoming(when, to_ms(datetime.fromisoformat(after).replace(tzinfo=BERLIN)), n)
    return [from_ms(ms).astimezone(BERLIN).strftime("%Y-%m-%d %H:%M%z")[:-2] for ms in found]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,WE", ["2026-06-01 02:30+02", "2026-06-03 02:30+02", "2026-06-15 02:30+02"]),
        ("FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=18;BYMINUTE=0", ["2026-05-29 18:00+02", "2026-06-26 18:00+02", "2026-07-31 18:00+02"]),
        ("FREQ=YEARLY;BYEASTER=0", ["2027-03-28 03:00+02", "2028-04-16 02:30+02", "2029-04-01 02:30+02"]),
        ("RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29", ["2028-02-29 02:30+01", "2032-02-29 02:30+01", "2036-02-29 02:30+01"]),
        ("FREQ=HOURLY;INTERVAL=6", ["2026-05-27 02:30+02", "2026-05-27 08:30+02", "2026-05-27 14:30+02"]),
        ("FREQ=DAILY;UNTIL=20260528", ["2026-05-27 02:30+02", "2026-05-28 02:30+02"]),
        ("FREQ=DAILY;UNTIL=20260527T003000Z", ["2026-05-27 02:30+02"]),
        ("FREQ=DAILY;COUNT=3", []),
    ],
)
def test_a_rule_counts_from_its_start(rule: str, expected: list[str]) -> None:
    assert times(rule, "2026-05-27T00:00", 3) == expected


@pytest.mark.parametrize(
    ("policies", "expected"),
    [
        ({}, ["2026-03-29 03:00+02", "2026-03-30 02:30+02"]),
        ({"gap": "skip"}, ["2026-03-30 02:30+02", "2026-03-31 02:30+02"]),
    ],
)
def test_a_skipped_hour_follows_the_policy(policies: dict[str, str], expected: list[str]) -> None:
    assert times("FREQ=DAILY", "2026-03-28T12:00", 2, **policies) == expected


def test_an_hour_shown_twice_counts_once_by_the_day_and_twice_by_the_hour() -> None:
    assert times("FREQ=DAILY", "2026-10-24T12:00", 2) == ["2026-10-25 02:30+02", "2026-10-26 02:30+01"]
    assert times("FREQ=HOURLY", "2026-10-25T02:00", 3) == ["2026-10-25 02:30+02", "2026-10-25 02:30+01", "2026-10-25 03:30+01"]


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(["WEEKLY", "DAILY", "HOURLY", "MINUTELY"]),
    st.integers(1, 40),
    st.sampled_from(["", ";BYDAY=MO,TH", ";BYMONTH=3,7", ";BYMONTHDAY=1,15,-1", ";BYDAY=MO,TU,WE;BYSETPOS=1,-1"]),
    st.integers(0, 400),
)
def test_looking_far_ahead_gives_what_walking_from_the_start_gives(freq: str, interval: int, by: str, days: int) -> None:
    start = datetime(2024, 2, 29, 13, 7, 5, tzinfo=UTC)
    text = f"FREQ={freq};INTERVAL={interval}{by}"
    after = to_ms(start) + days * 86_400_000
    assume(comes(text, start))

    walked = rrulestr(text, dtstart=start).xafter(from_ms(after), count=5)

    assert upcoming(RRule(text, start), after, 5) == [to_ms(moment) for moment in walked]


def comes(text: str, start: datetime) -> bool:
    """Whether a rule names any moment: every 35th day is never a Monday when the first is a Tuesday."""
    try:
        check(RRule(text, start))
    except BadSchedule:
        return False
    return True


def test_the_time_before_is_found() -> None:
    when = RRule("FREQ=MONTHLY;BYDAY=-1FR", START, "Europe/Berlin")
    (first, second) = upcoming(when, to_ms(START), 2)

    assert last_before(when, second) == first
    assert last_before(when, to_ms(START)) is None
    assert next_after(when, to_ms(START) - 10**12) == first


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ("", "expected FREQ= one of YEARLY"),
        ("FREQ=FORTNIGHTLY", "expected FREQ= one of"),
        ("FREQ=DAILY;BYDAI=MO", "unknown parameter 'BYDAI'"),
        ("FREQ=DAILY;INTERVAL=0", "expected INTERVAL= a number from 1 to 10000; got '0'"),
        ("FREQ=DAILY;COUNT=1000000", "expected COUNT= a number from 1 to 10000"),
        ("FREQ=DAILY;COUNT=3;UNTIL=20300101", "expected COUNT or UNTIL, not both"),
        ("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30", "never comes"),
        ("FREQ=SECONDLY;BYMONTH=2;BYMONTHDAY=30", "never comes"),
        ("FREQ=DAILY;INTERVAL=7;BYDAY=TU", "never comes"),
        ("FREQ=DAILY;UNTIL=20100101", "never comes"),
        ("FREQ=DAILY;" + "BYHOUR=1;" * 40, "expected at most 256 characters"),
    ],
)
def test_a_rule_that_names_nothing_is_refused(rule: str, says: str) -> None:
    with pytest.raises(BadSchedule) as refusal:
        check(RRule(rule, START))

    assert says in str(refusal.value)


def test_it_is_kept_as_a_line_and_told_as_a_sentence() -> None:
    when = RRule("FREQ=DAILY", START, "Europe/Berlin", gap="skip")

    assert to_text(when) == "rrule|Europe/Berlin|1578274200000|FREQ=DAILY|gap=skip"
    assert from_text(to_text(when)) == when
    assert describe(when) == "By the rule FREQ=DAILY, counted from 2020-01-06 02:30:00, Europe/Berlin time."

"""The occurrence function against a scan of every minute, around the clock changes of all zones from 1990 to 2040."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from backbeat.core.cron import parse
from backbeat.core.occurrence import check, last_before, next_after, upcoming
from backbeat.core.wall import WallClock
from backbeat.core.when import DIALECTS, GAP_POLICIES, OVERLAP_POLICIES, Cron
from backbeat.errors import BadSchedule
from tests.core.minute_scan import EXPRESSIONS, NAMED_ZONES, ZONES, Expression, Field, Minutes, transitions

YEARS = range(1990, 2041)
HOUR = 3600


def between(cron: Cron, start: int, end: int) -> list[int]:
    """What our function says for a time, in UTC seconds."""
    found = []
    moment = next_after(cron, start * 1000 - 1)
    while moment is not None and moment < end * 1000:
        found.append(moment // 1000)
        moment = next_after(cron, moment)
    return found


def assert_same(expression: Expression, zone: str, minutes: Minutes, gap: str, fold: str) -> None:
    """Compare well inside the scan, where every jump is seen whole."""
    start, end = minutes.utc[0] + 2 * HOUR, minutes.utc[-1] - 2 * HOUR

    ours = between(Cron(expression.text, tz=zone, gap=gap, fold=fold), start, end)

    assert ours == [utc for utc in minutes.fires(expression, gap, fold) if start <= utc < end], (expression.text, zone)


def possible(expression: Expression) -> bool:
    """Whether the expression ever comes; the others are refused, which has its own tests."""
    try:
        check(Cron(expression.text))
    except BadSchedule:
        return False
    return True


@settings(max_examples=400, deadline=None)
@given(
    EXPRESSIONS,
    st.sampled_from(NAMED_ZONES) | st.sampled_from(ZONES),
    st.sampled_from(YEARS),
    st.integers(0, 20),
    st.sampled_from(GAP_POLICIES),
    st.sampled_from(OVERLAP_POLICIES),
)
def test_around_every_clock_change_it_says_what_a_scan_of_the_minutes_says(
    expression: Expression, zone: str, year: int, which: int, gap: str, fold: str
) -> None:
    changes = transitions(zone, year)
    assume(changes and possible(expression))

    minutes = Minutes(zone, changes[which % len(changes)])

    assert_same(expression, zone, minutes, gap, fold)


def every_day(minute: Field, hour: Field) -> Expression:
    """An expression that leaves the days open."""
    return Expression(minute, hour, Field("*", frozenset(range(1, 32))), Field("*", frozenset(range(7))))


MANY_FIXED_TIMES = every_day(Field("5-59/20", frozenset({5, 25, 45})), Field("0-22", frozenset(range(23))))
EVERY_TWENTY_MINUTES = every_day(Field("*/20", frozenset({0, 20, 40})), Field("*", frozenset(range(24))))


def assert_all_policies(zone: str, moment: int) -> None:
    """Both kinds of job, under every pair of policies, around one clock change."""
    minutes = Minutes(zone, moment)
    assert_same(EVERY_TWENTY_MINUTES, zone, minutes, "shift", "first")
    for gap in GAP_POLICIES:
        for fold in OVERLAP_POLICIES:
            assert_same(MANY_FIXED_TIMES, zone, minutes, gap, fold)


@pytest.mark.parametrize("zone", NAMED_ZONES)
def test_odd_zones_agree_with_the_scan_through_the_years(zone: str) -> None:
    # 2011 is among them, when Samoa skipped a day and Newfoundland still changed its clocks at a minute past midnight.
    for year in YEARS[::7]:
        for moment in transitions(zone, year):
            assert_all_policies(zone, moment)


@pytest.mark.long
@pytest.mark.parametrize("year", YEARS)
def test_all_zones_agree_with_the_scan(year: int) -> None:
    seen = set()
    for zone in ZONES:
        there = ZoneInfo(zone)
        for moment in transitions(zone, year):
            # Zones that change alike at the same moment are one case.
            case = tuple(datetime.fromtimestamp(moment + hours * HOUR, there).utcoffset() for hours in (-30, -1, 0, 30))
            if (moment, case) not in seen:
                seen.add((moment, case))
                assert_all_policies(zone, moment)


@settings(max_examples=300, deadline=None)
@given(EXPRESSIONS, st.integers(0, 2**31 - 1))
def test_in_utc_it_agrees_with_croniter_except_for_its_known_faults(expression: Expression, after: int) -> None:
    # croniter reads 5-5 as every value and miscounts a stepped range over the end.
    parts = [part for field in expression.text.split() for part in field.split(",") if "-" in part]
    assume(not any(faulty(part) for part in parts))
    assume(possible(expression))

    theirs = croniter(expression.text, after, implement_cron_bug=True)

    assert upcoming(Cron(expression.text), after * 1000, 5) == [round(theirs.get_next(float)) * 1000 for _ in range(5)]


def faulty(part: str) -> bool:
    """Whether croniter 7 misreads a range."""
    first, last = map(int, part.split("/")[0].split("-"))
    return first == last or (first > last and "/" in part)


@settings(max_examples=300, deadline=None)
@given(EXPRESSIONS, st.sampled_from(ZONES), st.lists(st.integers(0, 4 * 10**12), min_size=2, max_size=12))
def test_an_answer_never_depends_on_earlier_questions(expression: Expression, zone: str, questions: list[int]) -> None:
    assume(possible(expression))
    cron = Cron(expression.text, tz=zone)
    rule, _ = parse(cron)

    for after in questions:
        fresh = next(WallClock(rule, zone, cron.gap, cron.fold).after(after // 1000), None)
        assert next_after(cron, after) == (None if fresh is None else fresh * 1000)


@settings(max_examples=200, deadline=None)
@given(EXPRESSIONS, st.sampled_from(ZONES), st.integers(0, 2 * 10**12), st.sampled_from(OVERLAP_POLICIES))
def test_the_time_before_undoes_the_time_after(expression: Expression, zone: str, after: int, fold: str) -> None:
    assume(possible(expression))
    cron = Cron(expression.text, tz=zone, fold=fold)

    following = upcoming(cron, after, 20)

    assert following == sorted(set(following))
    assert [last_before(cron, later) for later in following[1:]] == following[:-1]


@settings(max_examples=500, deadline=200)
@given(
    st.text("0123456789*/-,LW#?H~() abcdefjlmnoprstuvy@.%\t\n\0é", max_size=140), st.sampled_from(DIALECTS), st.text(max_size=3)
)
def test_any_text_is_read_or_refused_soon(text: str, dialect: str, key: str) -> None:
    with suppress(BadSchedule):
        check(Cron(text, dialect=dialect, hash_key=key))

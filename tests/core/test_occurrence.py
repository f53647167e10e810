"""What a schedule promises about its times, on ordinary days."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from backbeat.core.occurrence import check, last_before, next_after, upcoming
from backbeat.core.when import Cron, Every, Once
from backbeat.errors import BadSchedule
from tests.core.clock import at, shown, times

NOON = at("2026-11-23T12:00")


def test_the_next_time_is_strictly_after_the_question() -> None:
    cron = Cron("0 12 * * *")

    assert next_after(cron, NOON - 1) == NOON
    assert next_after(cron, NOON) == NOON + 86_400_000


def test_intervals_are_counted_from_their_anchor_and_not_from_the_last_run() -> None:
    anchor = datetime(2026, 11, 23, 0, 0, 7, tzinfo=UTC)

    assert shown(next_after(Every("1h", anchor), NOON) or 0) == "2026-11-23 12:00:07+00:00"
    assert last_before(Every("1h", anchor), NOON) == at("2026-11-23T11:00:07")
    assert next_after(Every("1h"), -1) == 0


def test_a_single_moment_comes_once() -> None:
    once = Once(datetime(2026, 11, 23, 12, tzinfo=UTC))

    assert upcoming(once, NOON - 1, 5) == [NOON]
    assert next_after(once, NOON) is None


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        ("0 0 1,15 * FRI", ["27 00:00+00", "01 00:00+00", "04 00:00+00", "11 00:00+00", "15 00:00+00"]),
        ("0 0 */2 * MON", ["07 00:00+00", "21 00:00+00", "11 00:00+00", "25 00:00+00", "01 00:00+00"]),
        ("0 0 1-31 * MON", ["24 00:00+00", "25 00:00+00", "26 00:00+00", "27 00:00+00", "28 00:00+00"]),
        ("0 0 L * *", ["30 00:00+00", "31 00:00+00", "31 00:00+00", "28 00:00+00", "31 00:00+00"]),
        ("0 0 LW * *", ["30 00:00+00", "31 00:00+00", "29 00:00+00", "26 00:00+00", "31 00:00+00"]),
        ("0 0 15W * *", ["15 00:00+00", "15 00:00+00", "15 00:00+00", "15 00:00+00", "15 00:00+00"]),
        ("0 0 * * 5L", ["27 00:00+00", "25 00:00+00", "29 00:00+00", "26 00:00+00", "26 00:00+00"]),
        ("0 0 * * MON#2", ["14 00:00+00", "11 00:00+00", "08 00:00+00", "08 00:00+00", "12 00:00+00"]),
        ("0 0 5-5 * *", ["05 00:00+00"] * 5),
        ("0 0 * * 6/1", ["28 00:00+00", "29 00:00+00", "05 00:00+00", "06 00:00+00", "12 00:00+00"]),
        ("0 22-2/3 * * *", ["23 22:00+00", "24 01:00+00", "24 22:00+00", "25 01:00+00", "25 22:00+00"]),
        ("0 0 * * FRI-MON", ["27 00:00+00", "28 00:00+00", "29 00:00+00", "30 00:00+00", "04 00:00+00"]),
        ("0 0 * * 7", ["29 00:00+00", "06 00:00+00", "13 00:00+00", "20 00:00+00", "27 00:00+00"]),
        ("0 0 * * 0-7", ["24 00:00+00", "25 00:00+00", "26 00:00+00", "27 00:00+00", "28 00:00+00"]),
        ("0 0 * * 7-7", ["29 00:00+00", "06 00:00+00", "13 00:00+00", "20 00:00+00", "27 00:00+00"]),
        ("0 0 * * 5-7", ["27 00:00+00", "28 00:00+00", "29 00:00+00", "04 00:00+00", "05 00:00+00"]),
        ("59/15 * * * *", ["23 12:59+00", "23 13:59+00", "23 14:59+00", "23 15:59+00", "23 16:59+00"]),
        ("@weekly", ["29 00:00+00", "06 00:00+00", "13 00:00+00", "20 00:00+00", "27 00:00+00"]),
        ("0 0 29 2 *", ["29 00:00+00"] * 5),
    ],
)
def test_expressions_name_the_days_that_debian_and_the_usual_extensions_name(expr: str, expected: list[str]) -> None:
    assert times(Cron(expr), "2026-11-23T12:00", 5) == expected


def test_a_sixth_field_is_seconds() -> None:
    assert upcoming(Cron("* * * * * */20"), NOON, 3) == [NOON + 20_000, NOON + 40_000, NOON + 60_000]


def test_hashed_times_depend_on_the_key_and_on_nothing_else() -> None:
    names = [f"job{number}" for number in range(50)]

    minutes = {next_after(Cron("H H H * *", hash_key=name), NOON) for name in names}

    assert len(minutes) > 40
    assert next_after(Cron("H 3 * * *", hash_key="a"), NOON) == next_after(Cron("H 3 * * *", hash_key="a"), NOON)


def test_the_day_rule_can_be_chosen() -> None:
    assert times(Cron("0 0 13 * FRI", days="both"), "2026-11-23T12:00", 2) == ["13 00:00+00", "13 00:00+00"]
    assert times(Cron("0 0 */2 * MON", days="either"), "2026-11-23T12:00", 2) == ["25 00:00+00", "27 00:00+00"]


@pytest.mark.parametrize("expr", ["0 12 * * *", "*/7 3 * * 1", "* * * * * *", "0 0 29 2 *", "15 10 L * *"])
def test_the_time_before_is_the_one_whose_next_comes_after(expr: str) -> None:
    cron = Cron(expr, tz="Europe/Berlin")

    before = last_before(cron, NOON)

    assert before is not None
    assert before < NOON
    assert (next_after(cron, before) or 0) >= NOON
    assert next_after(cron, before - 1) == before


def test_answers_do_not_depend_on_what_was_asked_before() -> None:
    cron = Cron("0 0 12 ? * MON-FRI 2030", dialect="quartz")
    first = at("2030-01-01T12:00")

    assert next_after(cron, at("2031-01-01T00:00")) is None
    assert next_after(cron, NOON) == first
    assert next_after(cron, at("2099-01-01T00:00")) is None
    assert next_after(cron, first - 1) == first


@pytest.mark.parametrize("moment", [-(1 << 60), 1 << 60])
def test_moments_outside_the_calendar_are_no_crash(moment: int) -> None:
    after = next_after(Cron("0 12 * * *", tz="Europe/Berlin"), moment)

    assert after is None or after > moment


@pytest.mark.parametrize(
    ("cron", "says"),
    [
        (Cron("61 * * * *"), "expected 0-59 in the minute field; got '61'"),
        (Cron("* * * * mno"), "Did you mean 'mon'?"),
        (Cron("@dayly"), "Did you mean '@daily'?"),
        (Cron("* * * *"), "expected 5 or 6 fields (minute hour day month weekday"),
        (Cron(""), "got 0 in ''"),
        (Cron("0 0 30 2 *"), "'0 0 30 2 *' never comes"),
        (Cron("0 0 */100 * MON#2"), "never comes"),
        (Cron("1," * 64 + "1 * * * *"), "expected at most 128 characters; got 137"),
        (Cron("0 0 * * *", tz="Europe/Berln"), "Did you mean 'Europe/Berlin'?"),
        (Cron("0 0 * * *", tz="../etc/passwd"), "expected an IANA time zone"),
        (Cron("*/0 * * * *"), "A step in this field lies between 1 and 59"),
        (Cron("5/ * * * *"), "A step needs a number after the /"),
        (Cron("0 0 * * 1#6"), "#1 to #5"),
        (Cron("R * * * *", dialect="croniter", hash_key="a"), "R is another moment at every reading"),
        (Cron("@every 5m", dialect="robfig"), "write Every('5m')"),
        (Cron("0 0 * * MON", dialect="jenkins"), "expected 0-7 in the weekday field; got 'mon'"),
        (Cron("0 0 * * * *", dialect="quartz"), "expected ? in either the day or the weekday field"),
    ],
)
def test_a_refusal_says_what_was_expected_what_came_and_the_cure(cron: Cron, says: str) -> None:
    with pytest.raises(BadSchedule) as refusal:
        check(cron)

    assert says in str(refusal.value)


@pytest.mark.parametrize("choice", [{"dialect": "quarz"}, {"gap": "shft"}, {"fold": "frist"}, {"days": "bth"}])
def test_an_unknown_word_is_refused_with_the_nearest_one(choice: dict[str, str]) -> None:
    with pytest.raises(BadSchedule, match="Did you mean"):
        Cron("* * * * *", **choice)


def test_an_expression_or_zone_that_is_no_text_is_refused() -> None:
    with pytest.raises(BadSchedule, match="expected text; got 5"):
        Cron(5)  # type: ignore[arg-type]
    with pytest.raises(BadSchedule, match="tz: expected text; got None"):
        Cron("* * * * *", tz=None)  # type: ignore[arg-type]


def test_many_schedules_that_share_few_expressions_cost_little() -> None:
    crons = [Cron(f"{minute} */2 * * *", tz="Europe/Berlin") for minute in range(60)]
    expected = {cron: upcoming(cron, NOON, 3) for cron in crons}

    again = {cron: upcoming(Cron(cron.expr, tz=cron.tz), NOON, 3) for cron in crons}

    assert again == expected


def test_an_interval_of_a_millisecond_is_exact() -> None:
    assert upcoming(Every(timedelta(milliseconds=1)), 0, 3) == [1, 2, 3]

"""What people are told about a schedule: a sentence, and what to mind."""

from __future__ import annotations

import pytest

from backbeat.core.notes import spread
from backbeat.core.occurrence import describe, notes
from backbeat.core.when import Cron, Every, Once, When, from_ms
from tests.core.clock import at


@pytest.mark.parametrize(
    ("when", "sentence"),
    [
        (Cron("30 2 * * *", tz="Europe/Berlin"), "At 02:30 every day, Europe/Berlin time."),
        (Cron("*/5 * * * *"), "Every 5 minutes, UTC time."),
        (Cron("15 * * * *"), "At minute 15 of every hour, UTC time."),
        (Cron("0 */2 * * *"), "At minute 0 of every 2nd hour every day, UTC time."),
        (Cron("0 9-17 * * 1-5"), "At minute 0 of hours 9 to 17 on Monday to Friday, UTC time."),
        (
            Cron("*/15 8-18 * jan,jul sat,sun"),
            "Every 15 minutes of hours 8 to 18 on Saturday and Sunday in January and July, UTC time.",
        ),
        (Cron("0 0 1,15 * FRI"), "At 00:00 on the 1st and 15th of the month or on Friday, UTC time."),
        (Cron("0 0 */2 * MON"), "At 00:00 on every 2nd day from the 1st of the month when that is Monday, UTC time."),
        (Cron("0 0 L * *"), "At 00:00 on the last day of the month, UTC time."),
        (Cron("0 0 15W * *"), "At 00:00 on the weekday nearest to the 15th, UTC time."),
        (Cron("0 0 * * MON#2,5L"), "At 00:00 on the 2nd Monday of the month and the last Friday of the month, UTC time."),
        (Cron("0 0 12 ? * MON-FRI 2030", dialect="quartz"), "At 12:00 on Monday to Friday in 2030, UTC time."),
        (Cron("* * * * * */15"), "Every 15 seconds of every minute, UTC time."),
        (Cron("TZ=Asia/Tokyo 0 5 * * *", dialect="robfig"), "At 05:00 every day, Asia/Tokyo time."),
        (Every("90m"), "Every 1h30m."),
        (Once(from_ms(1_789_000_000_000)), "Once, at 2026-09-10T00:26:40Z."),
    ],
)
def test_a_schedule_is_told_as_a_sentence(when: When, sentence: str) -> None:
    assert describe(when) == sentence


@pytest.mark.parametrize(
    ("cron", "says"),
    [
        (Cron("0 0 1,15 * FRI"), "either is enough. It fires on the 1st and 15th of the month and also on Friday."),
        (Cron("0 0 */2 * MON"), "both must match, because one of the fields starts with *."),
        (Cron("17 23-23/24 * * *"), "23-23 is read as 23 alone"),
        (Cron("* * * * * 5"), "The sixth field is seconds"),
        (Cron("H 3 * * *"), "H without a hash key"),
        (Cron("* 3 * * *"), "It fires every minute of the hours named"),
        (Cron("0 0 31 * *"), "does not fire in a month without such a day"),
    ],
)
def test_what_is_easily_misread_is_pointed_out(cron: Cron, says: str) -> None:
    assert any(says in note for note in notes(cron))


@pytest.mark.parametrize("expr", ["30 2 * * *", "*/5 * * * *", "0 9 * * 1-5", "0 0 1 * *", "@daily"])
def test_a_plain_expression_needs_no_note(expr: str) -> None:
    assert notes(Cron(expr), at("2026-11-23T12:00")) == []


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        (
            Cron("30 2 * * *", tz="Europe/Berlin"),
            [
                "Clocks in Europe/Berlin skip 2027-03-28 02:00 to 03:00: what falls into it fires once, at 03:00.",
                "Clocks in Europe/Berlin show 2027-10-31 02:00 to 03:00 twice: it fires the first time only.",
            ],
        ),
        (
            Cron("30 2 * * *", tz="Europe/Berlin", gap="skip", fold="both"),
            [
                "Clocks in Europe/Berlin skip 2027-03-28 02:00 to 03:00: what falls into it is left out.",
                "Clocks in Europe/Berlin show 2027-10-31 02:00 to 03:00 twice: it fires both times.",
            ],
        ),
        (Cron("30 4 * * *", tz="Europe/Berlin"), []),
    ],
)
def test_clock_changes_of_the_coming_year_are_foretold(cron: Cron, expected: list[str]) -> None:
    assert notes(cron, at("2026-11-23T12:00")) == expected


def test_a_crowded_minute_can_be_spread() -> None:
    assert spread("0 3 * * *") == "H 3 * * *"
    assert spread("H 3 * * *") is None

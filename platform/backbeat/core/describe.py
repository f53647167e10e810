"""A schedule as a sentence. Written from what the expression means, not from its text, so that it can't flatter it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain, pairwise

from backbeat.core.cron import Rule, parse
from backbeat.core.cron_days import Days, MonthDay, NthWeekday
from backbeat.core.cron_fields import FIELDS
from backbeat.core.recurrence import recurrence
from backbeat.core.when import Every, Once, RRule, Solar, When, iso
from backbeat.core.zone import load

_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_WEEKDAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"]
_TIMES = 6
"""More times of day than this are told as a rhythm, not one by one."""


def describe(when: When) -> str:
    """What a schedule means: `At 02:30 every day, Europe/Berlin time.` Raises BadSchedule."""
    if isinstance(when, Every):
        since = f", counted from {iso(when.anchor_ms)}" if when.anchor_ms else ""
        return f"Every {when.interval}{since}."
    if isinstance(when, Once):
        return f"Once, at {iso(when.ms)}."
    if isinstance(when, Solar):
        return (
            f"At {' '.join(reversed(when.event.removeprefix('solar_').split('_')))} at latitude {when.lat}, longitude {when.lon}."
        )
    if isinstance(when, RRule):
        recurrence(when)
        return f"By the rule {when.rule}, counted from {when.start.astimezone(load(when.tz)):%Y-%m-%d %H:%M:%S}, {when.tz} time."
    rule, zone = parse(when)
    parts = [_time(rule), _days(rule), _months(rule), _years(rule)]
    sentence = " ".join(part for part in parts if part)
    return f"{sentence[0].upper()}{sentence[1:]}, {zone} time."


def _time(rule: Rule) -> str:
    if len(rule.hours) * len(rule.minutes) * len(rule.seconds) <= _TIMES:
        return "at " + listed(_clock(h, m, s) for h in rule.hours for m in rule.minutes for s in rule.seconds)
    parts = [(values, unit) for values, unit in ((rule.seconds, "second"), (rule.minutes, "minute")) if values != (0,)]
    parts = parts or [(rule.minutes, "minute")]
    if (len(parts[-1][0]) < 60 and len(parts) > 1) or len(rule.hours) < 24 or len(rule.minutes) == 1:
        parts.append((rule.hours, "hour"))
    finest, *coarser = parts
    first = _rhythm(*finest)
    opening = first if first.startswith("every") else f"at {first}"
    return " of ".join([opening, *(_rhythm(values, unit, outer=True) for values, unit in coarser)])


def _clock(hour: int, minute: int, second: int) -> str:
    return f"{hour:02}:{minute:02}" + (f":{second:02}" if second else "")


def _rhythm(values: Sequence[int], unit: str, *, outer: bool = False) -> str:
    """`every 5 minutes`, `minutes 0 and 40`, `hours 9 to 17`; as the outer one of two `every 2nd hour`."""
    whole = len(FIELDS[unit].everything)
    if len(values) == whole:
        return f"every {unit}"
    step = _step(values)
    if step and values[0] == 0 and values[-1] + step >= whole:
        return f"every {ordinal(step)} {unit}" if outer else f"every {step} {unit}s"
    return f"{unit}{'s' if len(values) > 1 else ''} {listed(runs(values))}"


def _step(values: Sequence[int]) -> int:
    """The one distance between the values, 0 when there is none or they are neighbours."""
    steps = {later - earlier for earlier, later in pairwise(values)}
    return steps.pop() if len(values) > 2 and len(steps) == 1 and steps != {1} else 0


def _days(rule: Rule) -> str:
    by_day, by_weekday = day_words(rule.days), weekday_words(rule.days)
    if not by_day and not by_weekday:
        return "every day" if len(rule.hours) < 24 else ""
    if not by_day or not by_weekday:
        return f"on {by_day or by_weekday}"
    return f"on {by_day} or on {by_weekday}" if rule.days.either else f"on {by_day} when that is {by_weekday}"


def day_words(days: Days) -> str:
    """The days of the month that are named, empty when all are."""
    if len(days.days) == 31:
        return ""
    plain = sorted(days.days)
    step = _step(plain) if len(plain) > _TIMES else 0
    named = (
        f"every {ordinal(step)} day from the {ordinal(plain[0])}"
        if step
        else f"the {listed(runs(plain, ordinal))}"
        if plain
        else ""
    )
    return listed([*([f"{named} of the month"] if named else []), *map(_month_day, days.month_days)])


def weekday_words(days: Days) -> str:
    """The weekdays that are named, empty when all are."""
    if len(days.weekdays) == 7:
        return ""
    from_monday = sorted((day - 1) % 7 for day in days.weekdays)
    return listed([*runs(from_monday, lambda day: _WEEKDAYS[(day + 1) % 7]), *map(_nth_weekday, days.nth_weekdays)])


def _month_day(day: MonthDay) -> str:
    if day.day > 0:
        return f"the weekday nearest to the {ordinal(day.day)}" if day.nearest_weekday else f"the {ordinal(day.day)}"
    last = "the last day of the month" if day.day == 0 else f"the day {-day.day} before the last of the month"
    return f"the weekday nearest to {last}" if day.nearest_weekday else last


def _nth_weekday(day: NthWeekday) -> str:
    return f"the {ordinal(day.nth) if day.nth else 'last'} {_WEEKDAYS[day.weekday]} of the month"


def _months(rule: Rule) -> str:
    return "" if len(rule.months) == 12 else "in " + listed(runs(sorted(rule.months), lambda month: _MONTHS[month - 1]))


def _years(rule: Rule) -> str:
    return "" if rule.years is None else "in " + listed(runs(sorted(rule.years)))


def runs(values: Sequence[int], word: Callable[[int], str] = str) -> list[str]:
    """Sorted numbers with three or more neighbours drawn together: `1 to 5`, `8`."""
    found: list[list[int]] = []
    for value in values:
        if found and value == found[-1][-1] + 1:
            found[-1].append(value)
        else:
            found.append([value])
    return list(chain.from_iterable([f"{word(run[0])} to {word(run[-1])}"] if len(run) > 2 else map(word, run) for run in found))


def listed(words: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def ordinal(number: int) -> str:
    """`1st`, `22nd`, `13th`."""
    suffix = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{suffix}"

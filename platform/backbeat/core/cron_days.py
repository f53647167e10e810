"""Which days of a month a cron expression names: plain days and weekdays, L, W and #, and how the two fields join."""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from backbeat.core.cron_fields import FIELDS, bad, number, values
from backbeat.core.dialect import Dialect
from backbeat.errors import BadSchedule

_DAY = re.compile(r"l(?:-(?P<before>[0-9]+))?(?P<w>w)?|(?P<day>[0-9]+)w|w(?P<later>[0-9]+)")
_WEEKDAY = re.compile(r"(?P<which>[0-9a-z-]+)#(?P<nth>[0-9]+)|(?P<ending>[0-9]+|[a-z]{3})l|l(?P<leading>[0-9]+)")


@dataclass(frozen=True, slots=True)
class MonthDay:
    """A day counted from the start (1…31) or the end (0 is the last, -2 two before it), or the weekday nearest to it."""

    day: int
    nearest_weekday: bool = False

    def of(self, year: int, month: int) -> int | None:
        """The day of that month, None when the month is too short."""
        last = calendar.monthrange(year, month)[1]
        day = self.day if self.day > 0 else last + self.day
        if not self.nearest_weekday:
            return day if 1 <= day <= last else None
        return _nearest_weekday(year, month, min(day, last)) if day >= 1 else None


@dataclass(frozen=True, slots=True)
class NthWeekday:
    """The nth weekday of a month (Sunday is 0); 0 is the last one."""

    weekday: int
    nth: int

    def of(self, year: int, month: int) -> int | None:
        """The day of that month, None when it has no such weekday."""
        first_weekday, last = calendar.monthrange(year, month)
        days = range(1 + (self.weekday - first_weekday - 1) % 7, last + 1, 7)
        return days[self.nth - 1] if self.nth <= len(days) else None


Special = TypeVar("Special", MonthDay, NthWeekday)


@dataclass(frozen=True, slots=True)
class Days:
    """The days of a rule. `either`: one of the two fields is enough."""

    days: frozenset[int]
    weekdays: frozenset[int]
    month_days: tuple[MonthDay, ...] = ()
    nth_weekdays: tuple[NthWeekday, ...] = ()
    either: bool = False

    def of(self, year: int, month: int) -> list[int]:
        """The matching days of a month, in order."""
        first_weekday, last = calendar.monthrange(year, month)
        by_day = self.days | {special.of(year, month) for special in self.month_days}
        nth = {special.of(year, month) for special in self.nth_weekdays}
        found = []
        for day in range(1, last + 1):
            fits = day in nth or (first_weekday + day) % 7 in self.weekdays
            if (fits or day in by_day) if self.either else (fits and day in by_day):
                found.append(day)
        return found


def _nearest_weekday(year: int, month: int, day: int) -> int:
    """The weekday nearest to a day, without leaving its month."""
    match calendar.weekday(year, month, day), day:
        case 5, 1:
            return 3
        case 5, _:
            return day - 1
        case 6, _:
            return day + 1 if day < calendar.monthrange(year, month)[1] else day - 2
    return day


def days_of(day: str, weekday: str, dialect: Dialect, key: str, join: str = "dialect") -> Days:
    """The days that two lower-case fields name. Raises BadSchedule."""
    if dialect.days == "quartz" and weekday == "l":
        weekday = "sat"
    month_days, plain_days = _parted(day, partial(_month_day, dialect=dialect))
    nth_weekdays, plain_weekdays = _parted(weekday, partial(_nth_weekdays, dialect=dialect))
    _check_company(day, weekday, dialect, bool(nth_weekdays))
    if dialect.faithful and nth_weekdays:
        plain_weekdays = _without_star(weekday, plain_weekdays, dialect)
    found = Days(
        values(FIELDS["day"], plain_days, dialect, key) if plain_days else frozenset(),
        values(FIELDS["weekday"], plain_weekdays, dialect, key) if plain_weekdays else frozenset(),
        tuple(month_days),
        tuple(nth_weekdays),
        _either(day, weekday, dialect, join, special=bool(nth_weekdays) or "w" in day),
    )
    if dialect.days == "quartz" and (day == "?") == (weekday == "?"):
        raise BadSchedule("schedule", f"expected ? in either the day or the weekday field; got {day!r} and {weekday!r}.")
    return found


def _parted(text: str, read: Callable[[str], list[Special]]) -> tuple[list[Special], str]:
    """A field's special items, and the text of its plain ones."""
    special: list[Special] = []
    plain = []
    for item in text.split(","):
        found = read(item)
        special += found
        plain += [] if found else [item]
    return special, ",".join(plain)


def _month_day(item: str, dialect: Dialect) -> list[MonthDay]:
    parts = _DAY.fullmatch(item)
    if not parts or not set(item.upper()) & set("LW") <= set(dialect.special):
        return []
    nearest = item.startswith("w") or item.endswith("w")
    if item.startswith("l"):
        before = int(parts["before"] or 0)
        if before > 30 or (dialect.faithful and item != "l"):
            raise bad(FIELDS["day"], item, dialect)
        return [MonthDay(-before, nearest)]
    return [MonthDay(number(FIELDS["day"], parts["day"] or parts["later"], dialect), nearest)]


def _nth_weekdays(item: str, dialect: Dialect) -> list[NthWeekday]:
    field, parts = FIELDS["weekday"], _WEEKDAY.fullmatch(item)
    if not parts or ("#" if "#" in item else "L") not in dialect.special:
        return []
    if ending := parts["ending"] or parts["leading"]:
        if ending.isalpha() and not dialect.named_last:
            raise bad(field, item, dialect)
        return [NthWeekday(number(field, ending, dialect), 0)]
    nth = int(parts["nth"])
    if not 1 <= nth <= 5:
        raise bad(field, item, dialect, " A month has a first to a fifth of each weekday: #1 to #5.")
    return [NthWeekday(weekday, nth) for weekday in sorted(values(field, parts["which"], dialect, ""))]


def _check_company(day: str, weekday: str, dialect: Dialect, nth: bool) -> None:
    """Refuse a list in which something stands that the dialect wants alone."""
    if "W" in dialect.alone and "w" in day and "," in day:
        raise bad(FIELDS["day"], day, dialect, " W stands alone in its field.")
    if "#" in dialect.alone and nth and "," in weekday:
        raise bad(FIELDS["weekday"], weekday, dialect, " # and L stand alone in their field.")


def _without_star(weekday: str, plain: str, dialect: Dialect) -> str:
    """croniter drops a * beside a #, and refuses any other company."""
    if plain not in ("", "*"):
        raise bad(FIELDS["weekday"], weekday, dialect, " # and L stand alone in their field.")
    return ""


def _either(day: str, weekday: str, dialect: Dialect, join: str, *, special: bool) -> bool:
    """Whether one of the two fields is enough: only when both say something, and neither is left open."""
    rule = dialect.days if join == "dialect" else join
    if rule in ("both", "quartz") or (join == "dialect" and dialect.faithful and special):
        return False
    return not any(_is_open(field, rule) for field in (day, weekday))


def _is_open(text: str, rule: str) -> bool:
    if rule == "debian":
        return text.startswith(("*", "?"))
    stars = ("*", "?", "*/1", "?/1") if rule == "robfig" else ("*", "?")
    return any(item in stars for item in text.split(","))

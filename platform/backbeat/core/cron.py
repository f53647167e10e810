"""A cron expression as the wall-clock times that it names. Clocks that jump are the business of `core/wall.py`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

from backbeat.core.cron_days import Days, days_of
from backbeat.core.cron_fields import FIELDS, values
from backbeat.core.dialect import CRON, Dialect, dialect_of
from backbeat.core.jenkins import picker, without_hashes
from backbeat.core.when import Cron
from backbeat.core.zone import LAST_YEAR
from backbeat.errors import BadSchedule, nearest

LONGEST = 128
DAY = 86_400
EPOCH_DAY = date(1970, 1, 1).toordinal()

_ZONE_FIRST = re.compile(r"(?:CRON_)?TZ=(\S+)\s+(.*)", re.ASCII)
_ZONE_LAST = re.compile(r"(.*\S)\s+(UTC|GMT|[A-Z][A-Za-z_]+/[A-Za-z0-9_/+-]+)", re.ASCII)
_CLOCK = ("hour", "minute", "second")
_LEFT_OUT = {"second": "0", "year": "*"}
_SPACE = re.compile(r"\s+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Rule:
    """An expression, read. Wall times are seconds since 1970 as a clock without a zone shows them."""

    hours: tuple[int, ...]
    minutes: tuple[int, ...]
    seconds: tuple[int, ...]
    days: Days
    months: frozenset[int]
    years: frozenset[int] | None
    elapsing: bool
    """Hour, minute or second is a wildcard, so that the job follows elapsed time when the clock jumps."""

    @property
    def last_year(self) -> int:
        """The last year in which it may come."""
        return LAST_YEAR if self.years is None else max(self.years)

    def walls(self, start: int, stop: int) -> Iterator[int]:
        """The wall times from `start`, included, to `stop`, not included, in order."""
        for day in self._days(start // DAY, (stop - 1) // DAY):
            for wall in self._times(day * DAY, start):
                if wall >= stop:
                    return
                yield wall

    def ever(self) -> bool:
        """Whether any day at all matches; 28 years hold every kind of month on every weekday."""
        years = self.years if self.years is not None else range(2000, 2028)
        return any(self.days.of(year, month) for year in years for month in self.months)

    def _days(self, first: int, last: int) -> Iterator[int]:
        """Matching days, counted from 1970, within bounds."""
        month = date.fromordinal(first + EPOCH_DAY).replace(day=1)
        end = date.fromordinal(last + EPOCH_DAY)
        while month <= end:
            if month.month in self.months and (self.years is None or month.year in self.years):
                before_first = month.toordinal() - EPOCH_DAY - 1
                for number in self.days.of(month.year, month.month):
                    if first <= before_first + number <= last:
                        yield before_first + number
            month = date(month.year + month.month // 12, month.month % 12 + 1, 1)

    def _times(self, midnight: int, start: int) -> Iterator[int]:
        """The times of a day that are not before `start`."""
        for hour in self.hours:
            if midnight + hour * 3600 + 3599 < start:
                continue
            for minute in self.minutes:
                base = midnight + hour * 3600 + minute * 60
                if base + 59 < start:
                    continue
                yield from (base + second for second in self.seconds if base + second >= start)


@lru_cache(maxsize=1024)
def parse(cron: Cron) -> tuple[Rule, str]:
    """The rule of an expression, and the name of its zone. Raises BadSchedule."""
    dialect = dialect_of(cron.dialect)
    expr, zone = _with_zone(cron, dialect)
    given = _fields(expr, dialect, cron.hash_key)
    if dialect.name == "jenkins":
        given = without_hashes(given, picker(cron.hash_key))
    texts = _LEFT_OUT | given
    found = {name: values(FIELDS[name], texts[name], dialect, cron.hash_key) for name in ("month", "year", *_CLOCK)}
    hours, minutes, seconds = (tuple(sorted(found[name])) for name in _CLOCK)
    rule = Rule(
        hours,
        minutes,
        seconds,
        days_of(texts["day"], texts["weekday"], dialect, cron.hash_key, cron.days),
        found["month"],
        None if texts["year"] == "*" else found["year"],
        _elapsing(given, dialect),
    )
    if not rule.ever():
        raise BadSchedule("schedule", f"expected a date that exists; {cron.expr!r} never comes.")
    return rule, zone


def _elapsing(given: dict[str, str], dialect: Dialect) -> bool:
    """Debian's test for a wildcard: the field starts with *. A range over every hour is a list of fixed times."""
    starred = any(given.get(name, "").startswith("*") for name in _CLOCK)
    return starred or (dialect.seconds_elapse and "second" in given)


def _with_zone(cron: Cron, dialect: Dialect) -> tuple[str, str]:
    """The bare expression and its zone, which some dialects write into it."""
    if len(cron.expr) > LONGEST:
        cure = "Split it into several schedules."
        raise BadSchedule("schedule", f"expected at most {LONGEST} characters; got {len(cron.expr)}. {cure}")
    expr = cron.expr.strip()
    if dialect.zone == "first" and (found := _ZONE_FIRST.fullmatch(expr)):
        return found[2], found[1]
    if dialect.zone == "last" and (found := _ZONE_LAST.fullmatch(expr)):
        return found[1], found[2]
    return expr, cron.tz


def _fields(expr: str, dialect: Dialect, key: str) -> dict[str, str]:
    """The expression's fields by name, in lower case."""
    text, layouts = expr.strip().lower(), dialect.layouts
    if text.startswith("@"):
        # The words are written in cron's five fields, also where the dialect itself wants seconds.
        text, layouts = _macro(text, dialect, key), (CRON, *layouts)
    parts = _SPACE.split(text) if text else []
    layout = next((layout for layout in layouts if len(layout) == len(parts)), None)
    if layout is None:
        counts = " or ".join(str(len(layout)) for layout in layouts)
        orders = "; or ".join(" ".join(layout) for layout in layouts)
        raise BadSchedule("schedule", f"expected {counts} fields ({orders}); got {len(parts)} in {expr!r}.")
    return dict(zip(layout, parts, strict=True))


def _macro(text: str, dialect: Dialect, key: str) -> str:
    macros = dialect.hashed_macros if key and dialect.hashed_macros else dialect.macros
    if text.startswith("@every "):
        raise BadSchedule("schedule", f"expected a cron expression; {text!r} is an interval: write Every({text[7:].strip()!r}).")
    if text not in macros:
        known = f"one of {', '.join(macros)}" if macros else "fields: this dialect has no @ words"
        raise BadSchedule("schedule", f"expected {known}; got {text!r}.{nearest(text, macros)}")
    return macros[text].lower()

"""Named calendars: days on which the schedules that name them do not fire, or fire later. Pure; times are epoch ms.

A schedule says what a closed day does to it. `skip`: an occurrence on a closed day is left out, with a record. `shift`: it
falls on the next open day instead, at the same time by the calendar's clock; where the schedule is due at that moment
anyway, the two are one. Nothing is written ahead, so that an edit of a calendar counts from the moment it is known.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from functools import lru_cache

from backbeat.core.when import from_ms
from backbeat.core.zone import load
from backbeat.errors import DefinitionError, nearest

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MOST_DAYS = 5_000
LONGEST = 3_660
"""Days that may be closed in a row: whoever closes ten years wants to end the schedule."""
MOST_SHIFTED = 1_000
"""Occurrences in one closed stretch that may be shifted; a schedule that is due more often has no need of it."""
_NAME = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.\-]{0,99}$")
_YEARLY = re.compile(r"^(\d\d)-(\d\d)$", re.ASCII)
_EXPECTED = "expected a day as 2026-12-25, a range as 2026-12-24/2027-01-02, a day of each year as 12-25, or a weekday as sat"

Day = str | date | tuple[date, date]
Raw = Callable[[int], int | None]
"""The first moment of a schedule after a moment, as if there were no calendar."""


class Mode(StrEnum):
    """What a closed day does to an occurrence."""

    SKIP = "skip"
    SHIFT = "shift"


class Fate(StrEnum):
    """What becomes of a moment at which a schedule is looked at."""

    FIRES = "fires"
    LEFT_OUT = "left out"
    MOVED = "moved"


@dataclass(frozen=True)
class Calendar:
    """Closed days under a name: `Calendar("holidays", ["12-25", "2026-12-24/2027-01-02", "sat"], tz="Europe/Berlin")`.

    Days are dates, pairs of dates (both included), or text: `2026-12-25`, `2026-12-24/2027-01-02`, `12-25` for each year,
    `sat` for each week. Raises DefinitionError for anything else, and for a calendar without an open day.
    """

    name: str
    days: tuple[str, ...]
    tz: str = "UTC"
    _ranges: tuple[tuple[int, int], ...] = field(init=False, repr=False, compare=False)
    _yearly: frozenset[tuple[int, int]] = field(init=False, repr=False, compare=False)
    _weekly: frozenset[int] = field(init=False, repr=False, compare=False)

    def __init__(self, name: str, days: Iterable[Day], tz: str = "UTC") -> None:
        if not isinstance(name, str) or not _NAME.match(name):
            raise DefinitionError("name", f"expected letters, digits, '_', '-' and '.', at most 100; got {name!r}.")
        load(tz)
        words = tuple(dict.fromkeys(_word(day) for day in ([days] if isinstance(days, str) else days)))
        if len(words) > MOST_DAYS:
            raise DefinitionError("days", f"expected at most {MOST_DAYS} days; got {len(words)}.")
        weekly = frozenset(WEEKDAYS.index(word) for word in words if word in WEEKDAYS)
        yearly = frozenset((int(found[1]), int(found[2])) for word in words if (found := _YEARLY.match(word)))
        if len(weekly) == len(WEEKDAYS):
            raise DefinitionError("days", "expected at least one open weekday; all seven are closed.")
        ranges = sorted(_range(word) for word in words if word not in WEEKDAYS and not _YEARLY.match(word))
        values = {"name": name, "days": words, "tz": tz, "_ranges": _merged(ranges), "_yearly": yearly, "_weekly": weekly}
        for attribute, value in values.items():
            object.__setattr__(self, attribute, value)

    def closes(self, day: date) -> bool:
        """Whether a day is closed."""
        if day.weekday() in self._weekly or (day.month, day.day) in self._yearly:
            return True
        place = bisect_right(self._ranges, (day.toordinal(), 1 << 30)) - 1
        return place >= 0 and self._ranges[place][1] >= day.toordinal()

    def closed(self, moment: int) -> bool:
        """Whether a moment falls on a closed day, by the calendar's clock."""
        return self.closes(self._day(moment))

    def fate(self, moment: int, mode: str) -> Fate:
        """What becomes of a moment of a schedule."""
        if not self.closed(moment):
            return Fate.FIRES
        return Fate.LEFT_OUT if mode == Mode.SKIP else Fate.MOVED

    def fires_after(self, raw: Raw, after: int, mode: str) -> int | None:
        """The first moment after `after` at which the schedule fires. Raises DefinitionError for too much to shift."""
        return self.shifted(raw, after) if mode == Mode.SHIFT else self._open_moment(raw, after)

    def shifted(self, raw: Raw, after: int) -> int | None:
        """The first moment after `after` of the schedule with its closed occurrences moved to open days."""
        day: date | None = self._day(after)
        while day is not None and (opens := self._open_day(day)) is not None:
            end = self._start(opens + timedelta(days=1))
            due = raw(max(after, self._start(opens) - 1))
            found = [moment for moment in self._moved_to(raw, opens) if moment > after]
            if due is not None and due < end:
                found.append(due)
            if found:
                return min(found)
            # Nothing on this day: go on where the schedule is next due, if that is a closed day to the day that follows it.
            due = raw(max(after, end - 1))
            day = None if due is None else self._day(due)
        return None

    @property
    def text(self) -> str:
        """The JSON that is stored."""
        return json.dumps({"name": self.name, "days": list(self.days), "tz": self.tz}, ensure_ascii=False)

    def _open_moment(self, raw: Raw, after: int) -> int | None:
        moment = raw(after)
        while moment is not None and self.closed(moment):
            opens = self._open_day(self._day(moment))
            moment = None if opens is None else raw(self._start(opens) - 1)
        return moment

    def _open_day(self, day: date) -> date | None:
        """The first open day from this one on."""
        days = (day + timedelta(days=number) for number in range(min(LONGEST, (date.max - day).days)))
        return next((one for one in days if not self.closes(one)), None)

    def _moved_to(self, raw: Raw, opens: date) -> list[int]:
        """The occurrences of the closed days just before an open one, at their time of day on the open one."""
        first = opens
        while self.closes(first - timedelta(days=1)) and (opens - first).days < LONGEST:
            first -= timedelta(days=1)
        moved, end = [], self._start(opens)
        moment = raw(self._start(first) - 1) if first < opens else None
        while moment is not None and moment < end:
            moved.append(self._same_time(moment, opens))
            if len(moved) > MOST_SHIFTED:
                raise DefinitionError(
                    "calendar",
                    f"expected at most {MOST_SHIFTED} occurrences on the closed days up to {opens}, to be shifted by calendar"
                    f" {self.name!r}; there are more. Let it skip them instead.",
                )
            moment = raw(moment)
        return moved

    def _same_time(self, moment: int, day: date) -> int:
        clock = from_ms(moment).astimezone(load(self.tz)).time()
        return round(datetime.combine(day, clock, load(self.tz)).timestamp() * 1000)

    def _day(self, moment: int) -> date:
        return from_ms(moment).astimezone(load(self.tz)).date()

    def _start(self, day: date) -> int:
        return round(datetime.combine(day, time(), load(self.tz)).timestamp() * 1000)


@lru_cache(maxsize=1024)
def read(text: str) -> Calendar:
    """The calendar stored as `text`. Raises DefinitionError."""
    try:
        return Calendar(**json.loads(text))
    except (ValueError, TypeError) as error:
        raise DefinitionError("calendar", f"expected a calendar as Backbeat writes it; got {text[:200]!r} ({error}).") from error


def named(name: str, known: Mapping[str, Calendar]) -> Calendar:
    """The calendar of a name. Raises DefinitionError that names the nearest."""
    if name not in known:
        there = ", ".join(sorted(known)) or "none"
        raise DefinitionError("calendar", f"no calendar is named {name!r}.{nearest(name, known)} There are: {there}.")
    return known[name]


def _word(day: Day) -> str:
    if isinstance(day, date):
        return day.strftime("%Y-%m-%d")
    if isinstance(day, tuple) and len(day) == 2 and all(isinstance(edge, date) for edge in day):
        word = "/".join(edge.strftime("%Y-%m-%d") for edge in day)
    elif isinstance(day, str):
        word = day.strip().lower()
        word = word[:3] if word in _LONG_WEEKDAYS else word
    else:
        raise DefinitionError("days", f"{_EXPECTED}; got {day!r}.")
    return _checked(word)


def _checked(word: str) -> str:
    if word in WEEKDAYS:
        return word
    try:
        if found := _YEARLY.match(word):
            date(2024, int(found[1]), int(found[2]))
            return word
        first, last = _range(word)
    except ValueError:
        raise DefinitionError("days", f"{_EXPECTED}; got {word!r}.") from None
    if last < first:
        raise DefinitionError("days", f"expected a range to end after its start; got {word!r}.")
    if last - first >= LONGEST:
        raise DefinitionError("days", f"expected at most {LONGEST} days in a range; {word!r} has {last - first + 1}.")
    return word


def _range(word: str) -> tuple[int, int]:
    first, _, last = word.partition("/")
    return date.fromisoformat(first).toordinal(), date.fromisoformat(last or first).toordinal()


def _merged(ranges: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Ranges in order that touch or lie over each other made into one, so that one look tells."""
    merged: list[tuple[int, int]] = []
    for first, last in ranges:
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return tuple(merged)


_LONG_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

"""Time zones as stretches of constant offset, so that clock changes are plain facts. Seconds throughout."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from backbeat.errors import BadSchedule, nearest

DAY = 86_400
LAST_YEAR = 9990
"""Python's calendar ends with 9999; some room is left for zones and jumps."""
_REACH = 2 * DAY
"""More than the longest jump: Samoa and Kwajalein left out a whole day."""
_OFFSET = re.compile(r"(?:UTC|GMT)?([+-])(\d\d?):?([0-5]\d)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Stretch:
    """A time of constant offset: UTC seconds from `start` to `end`, and how far the clock jumped at either edge.

    A positive jump skipped so many seconds of wall time, a negative one showed so many twice.
    """

    start: int
    end: int
    offset: int
    jump: int
    next_jump: int


@lru_cache(maxsize=1024)
def load(name: str) -> tzinfo:
    """The zone of an IANA name or of a fixed offset such as `+05:30`. Raises BadSchedule with the nearest name."""
    if name == "UTC":
        return UTC
    if fixed := _OFFSET.fullmatch(name):
        offset = timedelta(hours=int(fixed[2]), minutes=int(fixed[3] or 0))
        if offset < timedelta(hours=24):
            return timezone(offset if fixed[1] == "+" else -offset)
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        hint = nearest(name, available_timezones())
        raise BadSchedule("tz", f"expected an IANA time zone such as 'Europe/Berlin'; got {name!r}.{hint}") from None


def stretches(name: str, after: int, until: int) -> Iterator[Stretch]:
    """The stretches of a zone, in order, that hold the time from `after` to `until`; a long one comes in pieces."""
    start, jump = after - _REACH, 0
    offset = offset_at(load(name), start)
    for moment, new in _changes_or_years(name, start, until):
        if moment > after:
            yield Stretch(start, moment, offset, jump, new - offset)
        start, offset, jump = moment, new, new - offset
    yield Stretch(start, until, offset, jump, 0)


def changes(name: str, after: int, until: int) -> list[tuple[int, int]]:
    """The clock changes of a zone between two moments: when, and the offset from then on."""
    years = range(_year(after), _year(until) + 1)
    return [change for year in years for change in _changes_in(name, year) if after < change[0] < until]


def _changes_or_years(name: str, after: int, until: int) -> Iterator[tuple[int, int]]:
    """Changes one by one, and a change to the same offset late in each year, so that nobody scans a zone to its end."""
    offset = offset_at(load(name), after)
    for year in range(_year(after), _year(until) + 1):
        for moment, new in _changes_in(name, year):
            if after < moment < until:
                after, offset = moment, new
                yield moment, new
        # What a change does reaches no further than _REACH: here nothing is under way, and the next year can't change it.
        quiet = new_year(year + 1) - _REACH
        if after + _REACH < quiet < until:
            after = quiet
            yield quiet, offset


def offset_at(zone: tzinfo, moment: int) -> int:
    """Seconds east of UTC."""
    offset = datetime.fromtimestamp(moment, zone).utcoffset()
    return 0 if offset is None else offset.days * DAY + offset.seconds


def new_year(year: int) -> int:
    """The first second of a year, UTC."""
    return round(datetime(year, 1, 1, tzinfo=UTC).timestamp())


def _year(moment: int) -> int:
    return datetime.fromtimestamp(moment, UTC).year


@lru_cache(maxsize=4096)
def _changes_in(name: str, year: int) -> tuple[tuple[int, int], ...]:
    """Found by looking at every midnight: no zone has ever changed twice within a day."""
    zone, found = load(name), []
    if isinstance(zone, timezone):
        return ()
    midnight = new_year(year)
    offset = offset_at(zone, midnight)
    while _year(midnight) == year:
        new = offset_at(zone, midnight + DAY)
        if new != offset:
            found.append((_moment_of_change(zone, midnight, midnight + DAY, new), new))
            offset = new
        midnight += DAY
    return tuple(found)


def _moment_of_change(zone: tzinfo, before: int, after: int, new: int) -> int:
    while after - before > 1:
        middle = (before + after) // 2
        before, after = (before, middle) if offset_at(zone, middle) == new else (middle, after)
    return after

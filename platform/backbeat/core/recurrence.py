"""An iCalendar rule (RFC 5545) as the wall-clock times that it names; dateutil expands it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, tzinfo

from dateutil.parser import parse as parse_date
from dateutil.rrule import rrule, rrulestr

from backbeat.core.when import RRule
from backbeat.core.zone import LAST_YEAR, load
from backbeat.errors import BadSchedule

LONGEST = 256
MOST = 10_000
"""A COUNT is counted from the start at every question, so it has to stay small."""

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - wall time, as a clock without a zone shows it
_LATE = datetime(9590, 1, 1)  # noqa: DTZ001 - the same
_UNITS = {"YEARLY": 0, "MONTHLY": 0, "WEEKLY": 604_800, "DAILY": 86_400, "HOURLY": 3600, "MINUTELY": 60, "SECONDLY": 1}


@dataclass(frozen=True, slots=True)
class Recurrence:
    """A rule, read. `period` is the length of one interval in seconds, 0 where intervals are uneven or counted."""

    rule: rrule
    start: datetime
    period: int
    elapsing: bool
    last_year: int = LAST_YEAR

    def walls(self, start: int, stop: int) -> Iterator[int]:
        """The wall times from `start`, included, to `stop`, not included, in order."""
        first = max(_EPOCH + timedelta(seconds=start), self.start)
        for moment in self.begun_near(first).xafter(first, inc=True):
            wall = round((moment - _EPOCH).total_seconds())
            if wall >= stop:
                return
            yield wall

    def begun_near(self, moment: datetime) -> rrule:
        """The same rule begun whole intervals later: dateutil walks from the beginning, which may be years ago."""
        passed = (moment - self.start).total_seconds() // self.period - 1 if self.period else 0
        return self.rule.replace(dtstart=self.start + timedelta(seconds=passed * self.period)) if passed > 0 else self.rule


def recurrence(when: RRule) -> Recurrence:
    """Read a rule. Raises BadSchedule for one that is not valid, or names no moment."""
    parts, zone = _parts(when.rule), load(when.tz)
    start = when.start.astimezone(zone).replace(tzinfo=None)
    try:
        found = _read(parts, start, zone)
        endless = _read({name: value for name, value in parts.items() if name not in ("COUNT", "UNTIL")}, start, zone)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        example = "for example FREQ=WEEKLY;BYDAY=MO"
        raise BadSchedule("schedule", f"expected a rule as in RFC 5545, {example}; got {when.rule!r} ({error}).") from error
    # Asked late in the calendar, a rule that never comes has little of it left to search; only then is the start asked.
    if next(iter(endless.begun_near(_LATE)), None) is None or next(iter(found.rule), None) is None:
        raise BadSchedule("schedule", f"expected a date that exists; {when.rule!r} never comes.")
    return replace(found, last_year=found.rule[-1].year) if "COUNT" in parts else found


def _parts(text: str) -> dict[str, str]:
    if len(text) > LONGEST:
        raise BadSchedule("schedule", f"expected at most {LONGEST} characters; got {len(text)}.")
    parts = dict(part.partition("=")[::2] for part in text.strip().upper().removeprefix("RRULE:").split(";"))
    if parts.get("FREQ") not in _UNITS:
        raise BadSchedule("schedule", f"expected FREQ= one of {', '.join(_UNITS)}; got {text!r}.")
    for name in ("COUNT", "INTERVAL"):
        if not (parts.get(name, "1").isdecimal() and 1 <= int(parts.get(name, "1")) <= MOST):
            raise BadSchedule("schedule", f"expected {name}= a number from 1 to {MOST}; got {parts[name]!r} in {text!r}.")
    if "COUNT" in parts and "UNTIL" in parts:
        raise BadSchedule("schedule", f"expected COUNT or UNTIL, not both; got {text!r}.")
    return parts


def _read(parts: dict[str, str], start: datetime, zone: tzinfo) -> Recurrence:
    plain = ";".join(f"{name}={value}" for name, value in parts.items() if name != "UNTIL")
    rule = rrulestr(plain, dtstart=start)
    if not isinstance(rule, rrule):
        raise TypeError("one rule is wanted, not a set")
    unit = _UNITS[parts["FREQ"]]
    elapsing = 0 < unit < _UNITS["DAILY"]
    if "COUNT" in parts:
        return Recurrence(rule, start, 0, elapsing)
    period = unit * int(parts.get("INTERVAL", "1"))
    if "UNTIL" not in parts:
        return Recurrence(rule, start, period, elapsing)
    until = _until(parts["UNTIL"], zone)
    return Recurrence(rule.replace(until=until), start, period, elapsing, until.year)


def _until(text: str, zone: tzinfo) -> datetime:
    """The last wall time; a bare date means all of that day."""
    moment: datetime = parse_date(text)
    if moment.tzinfo:
        return moment.astimezone(zone).replace(tzinfo=None)
    return moment if "T" in text else moment + timedelta(days=1, seconds=-1)

"""Celery's schedules, as RedBeat's JSON and django-celery-beat's tables spell them, put into ours."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time, timedelta
from typing import Any

from backbeat.core.when import Cron, Every, RRule, Solar, When, from_ms
from backbeat.core.zone import load
from backbeat.errors import BadSchedule, DefinitionError, nearest

FIELDS = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")
"""The parts of a crontab in the order of cron."""
_FREQUENCIES = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY")
_WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_EPOCH = date(1970, 1, 1)
_LONG_LIST = re.compile(r"\d{1,2}(?:,\d{1,2}){23,}", re.ASCII)
_DAY, _HOUR, _MINUTE = 86_400_000, 3_600_000, 60_000
_RULE_LISTS = ("bysetpos", "bymonth", "bymonthday", "byyearday", "byeaster", "byweekno", "byhour", "byminute", "bysecond")


def when_of(schedule: Mapping[str, Any], tz: str, last: int | None) -> When:
    """The schedule of RedBeat's JSON. `tz` is the app's zone, `last` (epoch ms) where an interval was last counted from.

    Raises BadSchedule with what can't be taken.
    """
    kind = schedule.get("__type__")
    read = _KINDS.get(str(kind))
    if read is None:
        raise BadSchedule(
            "schedule", f"expected a schedule of type {', '.join(_KINDS)}; got {kind!r}.{nearest(str(kind), _KINDS)}"
        )
    try:
        return read(schedule, tz, last)
    except DefinitionError:
        raise
    except (LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise BadSchedule("schedule", f"expected a {kind} as RedBeat writes it; got {dict(schedule)!r} ({error!r}).") from error


def cron_of(schedule: Mapping[str, Any], tz: str, _last: int | None = None) -> Cron:
    """A crontab by its five fields: texts, numbers or lists of numbers."""
    return Cron(" ".join(_field(schedule.get(name, "*")) for name in FIELDS), tz, dialect="celery")


def every(milliseconds: int, last: int | None) -> Every:
    """An interval counted from where it was counted from last, so that it goes on in step.

    Whole seconds are counted from a whole second: RedBeat keeps no finer time of what comes next.
    """
    if milliseconds < 1:
        raise BadSchedule("schedule", f"expected an interval of a millisecond or more; got {milliseconds} ms.")
    anchor = (last or 0) % milliseconds
    if milliseconds % 1000 == 0:
        anchor -= anchor % 1000
    return Every(timedelta(milliseconds=milliseconds), from_ms(anchor) if anchor else None)


def _interval(schedule: Mapping[str, Any], tz: str, last: int | None) -> When:
    length = round(float(schedule["every"]) * 1000)
    if not schedule.get("relative") or length < _MINUTE:
        return every(length, last)
    # `relative` rounds down to the whole days, hours or minutes of the local clock, whatever the length's remainder.
    unit = next(unit for unit in (_DAY, _HOUR, _MINUTE) if length >= unit)
    length -= length % unit
    start = _rounded(last or 0, unit, tz)
    return _every_days(length // _DAY, start, tz) if unit == _DAY else every(length, start)


def _every_days(days: int, start: int, tz: str) -> When:
    """Midnight of each n-th day. Counted from 1970 on, so that a later fire of the same beat gives the same schedule."""
    if days == 1:
        return Cron("0 0 * * *", tz, dialect="celery")
    passed = from_ms(start).astimezone(load(tz)).date().toordinal() - _EPOCH.toordinal()
    first = datetime.combine(_EPOCH + timedelta(days=passed % days), time(), load(tz))
    return RRule(f"FREQ=DAILY;INTERVAL={days}", first, tz)


def _rounded(moment: int, unit: int, tz: str) -> int:
    """The last whole day, hour or minute of the local clock."""
    local = from_ms(moment).astimezone(load(tz))
    names = ("hour", "minute", "second", "microsecond")
    kept = {_DAY: 0, _HOUR: 1, _MINUTE: 2}[unit]
    floor = local.replace(**dict.fromkeys(names[kept:], 0))  # type: ignore[arg-type] # numbers all
    return round(floor.timestamp() * 1000)


def _rrule(schedule: Mapping[str, Any], tz: str, _last: int | None) -> RRule:
    freq = schedule["freq"]
    parts = {"FREQ": freq if isinstance(freq, str) else _FREQUENCIES[freq], "INTERVAL": schedule.get("interval") or 1}
    parts |= {"COUNT": schedule["count"]} if schedule.get("count") else {}
    if schedule.get("until") is not None:
        # In UTC, as RFC 5545 wants the end of a rule with a zone.
        parts["UNTIL"] = from_ms(round(schedule["until"] * 1000)).strftime("%Y%m%dT%H%M%SZ")
    if schedule.get("wkst") is not None:
        parts["WKST"] = _weekday(schedule["wkst"])
    parts |= {name.upper(): _listed(schedule[name], str) for name in _RULE_LISTS if schedule.get(name) not in (None, [])}
    if schedule.get("byweekday") not in (None, []):
        parts["BYDAY"] = _listed(schedule["byweekday"], _weekday)
    start = schedule.get("dtstart")
    if start is None:
        raise BadSchedule("schedule", "expected a rule with a start (dtstart), from which it can be counted; got none.")
    rule = ";".join(f"{name}={value}" for name, value in parts.items())
    return RRule(rule, from_ms(round(start * 1000)), _rule_zone(start, schedule.get("dtstart_tz") or 0, tz))


def _rule_zone(start: float, offset: float, tz: str) -> str:
    """The app's zone where it agrees with the offset that was saved, since a rule follows a zone's clock changes."""
    moment = from_ms(round(start * 1000))
    local: datetime = moment.astimezone(load(tz))
    if local.utcoffset() == timedelta(minutes=offset):
        return tz
    if offset % 60:
        raise BadSchedule(
            "schedule", f"expected a rule in the app's zone {tz} or in whole hours from UTC; got {offset:g} minutes."
        )
    return "UTC" if not offset else f"Etc/GMT{-offset / 60:+.0f}"


def _solar(schedule: Mapping[str, Any], _tz: str, _last: int | None) -> Solar:
    return Solar(str(schedule["event"]), float(schedule["lat"]), float(schedule["lon"]))


_KINDS: dict[str, Callable[[Mapping[str, Any], str, int | None], When]] = {
    "crontab": cron_of,
    "interval": _interval,
    "rrule": _rrule,
    "solar": _solar,
}


def _field(value: Any) -> str:
    """One field of a crontab as text; a list of numbers as ranges, because an expression has a limited length."""
    if isinstance(value, str):
        text = "".join(value.split())
        # A list of all minutes is longer than an expression may be; django-celery-beat has room for it.
        return ",".join(_ranges(sorted(set(map(int, text.split(",")))))) if _LONG_LIST.fullmatch(text) else text
    if isinstance(value, Iterable):
        return ",".join(_ranges(sorted({int(one) for one in value})))
    return str(int(value))


def _ranges(numbers: list[int]) -> Iterable[str]:
    if not numbers:
        raise BadSchedule("schedule", "expected at least one number in each field of a crontab; got an empty list.")
    first = 0
    for at in range(1, len(numbers) + 1):
        if at == len(numbers) or numbers[at] != numbers[at - 1] + 1:
            yield str(numbers[first]) if at - first == 1 else f"{numbers[first]}-{numbers[at - 1]}"
            first = at


def _listed(value: Any, word: Callable[[Any], str]) -> str:
    return ",".join(word(one) for one in (value if isinstance(value, (list, tuple)) else [value]))


def _weekday(value: Any) -> str:
    """A weekday as dateutil counts them, 0 is Monday, or as RedBeat's JSON writes dateutil's objects."""
    if isinstance(value, Mapping):
        nth = value.get("n")
        return f"{nth or ''}{_WEEKDAYS[int(value['wkday'])]}"
    number = int(value)
    if math.floor(number) not in range(7):
        raise BadSchedule("schedule", f"expected a weekday from 0 (Monday) to 6; got {value!r}.")
    return _WEEKDAYS[number]

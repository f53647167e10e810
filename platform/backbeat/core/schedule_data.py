"""Schedules and retry policies as JSON-able data that a person would write, and back."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import fields
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

from backbeat.core.duration import seconds
from backbeat.core.job import Schedule
from backbeat.core.retry import Retry
from backbeat.core.when import Cron, Every, Once, When, from_text, iso, to_ms, to_text
from backbeat.errors import BadSchedule, DefinitionError, UnknownOption, nearest

_PLAIN = ("key", "enabled", "max_runs", "jitter", "calendar", "calendar_mode")
_CRON = tuple(item.name for item in fields(Cron) if item.init and item.name != "expr")
_KEYS = ("cron", "every", "once", "when", "anchor", *_CRON, "args", "kwargs", "start", "end", *_PLAIN)
_DEFAULTS = {item.name: item.default for item in fields(Schedule)}
_NO_RETRY = Retry()
_RETRY_KEYS = [item.name for item in fields(Retry)]

Word = TypeVar("Word", bound=StrEnum)


def schedule_data(schedule: Schedule) -> dict[str, Any]:
    """`{"cron": "0 4 * * *", "tz": "UTC"}` and whatever differs from the defaults."""
    data = _when_data(schedule.when)
    data |= {key: value for key in _PLAIN if (value := getattr(schedule, key)) != _DEFAULTS[key]}
    if schedule.calendar_name:
        data["calendar"] = schedule.calendar_name
    if schedule.args:
        data["args"] = list(schedule.args)
    if schedule.kwargs:
        data["kwargs"] = dict(schedule.kwargs)
    return data | {key: iso(moment) for key in ("start", "end") if (moment := getattr(schedule, key)) is not None}


def schedule_from(data: Mapping[str, Any]) -> Schedule:
    """The schedule that `schedule_data` wrote. Raises BadSchedule or UnknownOption."""
    only_known(data, _KEYS, "schedule")
    plain: dict[str, Any] = {key: to_ms(_moment(data[key])) for key in ("start", "end") if data.get(key) is not None}
    plain |= {key: data[key] for key in _PLAIN if key in data}
    if "jitter" in plain:
        plain["jitter"] = seconds(plain["jitter"], "jitter")
    return Schedule(_when(data), args=tuple(list_of(data, "args")), kwargs=dict(data.get("kwargs") or {}), **plain)


def retry_data(retry: Retry) -> dict[str, Any]:
    """What differs from `Retry()`."""
    changed = {key: value for key in _RETRY_KEYS if (value := getattr(retry, key)) != getattr(_NO_RETRY, key)}
    return {key: list(value) if isinstance(value, tuple) else value for key, value in changed.items()}


def retry_from(data: Any) -> Retry:
    """The policy that `retry_data` wrote; a bare number is how often. Raises DefinitionError."""
    if isinstance(data, int):
        return Retry(data)
    only_known(data, _RETRY_KEYS, "retry")
    return Retry(**data)


def word_of(words: type[Word], value: Any, name: str) -> Word:
    """One of an enum's words. Raises DefinitionError that names the nearest."""
    try:
        return words(value)
    except ValueError:
        known = [str(word) for word in words]
        hint = nearest(str(value), known)
        raise DefinitionError(name, f"expected {name} to be one of {', '.join(known)}; got {value!r}.{hint}") from None


def list_of(data: Mapping[str, Any], key: str) -> list[Any]:
    """The list under a key, empty when it is absent. Raises DefinitionError."""
    value = data.get(key) or []
    if not isinstance(value, (list, tuple)):
        raise DefinitionError(key, f"expected {key!r} to be a list; got {value!r}.")
    return list(value)


def only_known(data: Any, keys: Collection[str], what: str) -> None:
    """Refuse anything but an object with these keys. Raises UnknownOption that names the nearest key."""
    if not isinstance(data, Mapping):
        raise DefinitionError(what, f"expected a {what} to be an object; got {data!r}.")
    for key in data:
        if key not in keys:
            raise UnknownOption(what, f"a {what} has no {key!r}; it has {', '.join(keys)}.{nearest(str(key), keys)}")


def _when_data(when: When) -> dict[str, Any]:
    if isinstance(when, Cron):
        default = Cron(when.expr, when.tz, when.dialect)
        extra = {key: value for key in _CRON if (value := getattr(when, key)) != getattr(default, key)}
        dialect = {"dialect": when.dialect} if when.dialect != Cron(when.expr).dialect else {}
        return {"cron": when.expr, "tz": when.tz} | dialect | extra
    if isinstance(when, Every):
        return {"every": when.interval} | ({"anchor": when.anchor.isoformat()} if when.anchor else {})
    return {"once": when.at.isoformat()} if isinstance(when, Once) else {"when": to_text(when)}


def _when(data: Mapping[str, Any]) -> When:
    if "cron" in data:
        return Cron(data["cron"], **{key: data[key] for key in _CRON if key in data})
    if "every" in data:
        return Every(data["every"], _moment(data["anchor"]) if data.get("anchor") else None)
    if "once" in data:
        return Once(_moment(data["once"]))
    if "when" in data:
        return from_text(data["when"])
    raise BadSchedule("schedule", f"expected one of 'cron', 'every', 'once', 'when'; got {', '.join(data) or 'nothing'}.")


def _moment(text: Any) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except (TypeError, ValueError):
        raise BadSchedule("schedule", f"expected a date such as '2026-11-23T02:00:00Z'; got {text!r}.") from None

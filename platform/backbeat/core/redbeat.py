"""Entries as RedBeat keeps them in Redis: the JSON of its hash fields `definition` and `meta`, read and written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

from backbeat.core.message import dumps
from backbeat.core.when import from_ms, to_ms
from backbeat.errors import DefinitionError

TAKEN = 0.5
"""RedBeat's scores are whole seconds. Half a second on top marks an entry that was read since it was last saved."""
BROKEN = "!"
"""In front of the reason, where a definition should stand."""
_DATE = ("year", "month", "day", "hour", "minute", "second", "microsecond")


@dataclass(frozen=True, slots=True)
class Saved:
    """An entry as it was saved. `schedule` and `options` are plain data; dates in them are kombu's `__type__` objects."""

    name: str
    task: str
    schedule: Mapping[str, Any]
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] | None = None
    options: Mapping[str, Any] | None = None
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Ran:
    """What RedBeat remembers of an entry's fires: the last (epoch ms; for a new entry the moment of saving), and how many."""

    last: int | None = None
    count: int = 0


def read(definition: str | None) -> Saved:
    """The entry of a `definition`. Raises DefinitionError with what is wrong with it."""
    if not definition:
        raise DefinitionError("entry", "expected a definition; its record is gone. Save the entry again, or delete it.")
    if definition.startswith(BROKEN):
        raise DefinitionError("entry", definition.removeprefix(BROKEN))
    try:
        data = json.loads(definition, object_hook=_plain)
    except (ValueError, RecursionError, LookupError, TypeError, OverflowError) as error:
        raise DefinitionError(
            "entry", f"expected JSON as RedBeat writes it; {error}. Save the entry again, or delete it."
        ) from error
    if not isinstance(data, dict) or not isinstance(data.get("task"), str) or not isinstance(data.get("schedule"), dict):
        raise DefinitionError("entry", f"expected a task and a schedule; got {definition[:200]!r}. Save it again, or delete it.")
    args, kwargs, options = data.get("args") or [], data.get("kwargs") or {}, data.get("options") or {}
    if not isinstance(args, list) or not isinstance(kwargs, dict) or not isinstance(options, dict):
        raise DefinitionError(
            "entry", f"expected args as a list, kwargs and options as objects; got {args!r}, {kwargs!r}, {options!r}."
        )
    name = str(data.get("name") or "")
    return Saved(name, data["task"], data["schedule"], tuple(args), kwargs, options, bool(data.get("enabled", True)))


def read_meta(meta: str | None) -> Ran:
    """What a `meta` says; nothing when it can't be read, since it only reports."""
    try:
        data = json.loads(meta or "{}", object_hook=_plain)
        last = moment_of(data.get("last_run_at"))
        return Ran(None if last is None else to_ms(last), int(data.get("total_run_count") or 0))
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError):
        return Ran()


def meta_text(ran: Ran) -> str:
    """A `meta` that RedBeat reads."""
    if ran.last is None:
        return dumps({"last_run_at": None, "total_run_count": ran.count})
    moment = from_ms(ran.last)
    date = {"__type__": "datetime", **{part: getattr(moment, part) for part in _DATE}, "timezone": "UTC"}
    return dumps({"last_run_at": date, "total_run_count": ran.count})


def score(next_ms: int | None) -> float:
    """The place of an entry in RedBeat's sorted set: when it is next due, -1 for never again, and the mark."""
    return (-1 if next_ms is None else next_ms // 1000) + TAKEN


def moment_of(value: Any) -> datetime | None:
    """The moment of a date as `read` hands it out, of ISO text, or of nothing. Raises ValueError or TypeError."""
    if value is None:
        return None
    moment = datetime.fromisoformat(value["__value__"] if isinstance(value, Mapping) else value)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _plain(found: dict[str, Any]) -> dict[str, Any]:
    """RedBeat's dates as kombu's JSON writes them, which is how they travel as arguments."""
    if found.get("__type__") != "datetime" or "year" not in found:
        return found
    date = datetime(*(int(found.get(part, 0)) for part in _DATE), tzinfo=_zone(found.get("timezone", "UTC")))  # type: ignore[arg-type, misc] # seven numbers, in order
    return {"__type__": "datetime", "__value__": date.isoformat()}


def _zone(name: str | float) -> timezone | ZoneInfo:
    # RedBeat writes a zone's name, or for a zone without one its offset in seconds.
    return timezone(timedelta(seconds=name)) if isinstance(name, (int, float)) else ZoneInfo(name)

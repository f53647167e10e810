"""The tables of django-celery-beat, as rows of plain values: what they say in Celery's words."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime, tzinfo
from typing import Any

from backbeat.core.beat_jobs import OldEntry
from backbeat.core.celery_options import options_of
from backbeat.core.celery_schedules import cron_of, every
from backbeat.core.shadow import Snapshot
from backbeat.core.when import Once, Solar, When, from_ms, iso, to_ms
from backbeat.errors import BadSchedule, DefinitionError

Row = Mapping[str, Any]
TASKS = "django_celery_beat_periodictask"
SCHEDULES = {kind: f"django_celery_beat_{kind}schedule" for kind in ("clocked", "crontab", "interval", "solar")}
"""Where the schedules are, by kind. A column that an older version lacks is taken for empty."""
_LENGTHS = {"days": 86_400_000, "hours": 3_600_000, "minutes": 60_000, "seconds": 1_000, "microseconds": 0.001}
_NULL = (None, "")
_OPTIONS = ("queue", "exchange", "routing_key", "priority")


def entry_of(task: Row, schedules: Mapping[str, Mapping[Any, Row]], zone: tzinfo) -> OldEntry:
    """One periodic task. `schedules` are the other tables by kind and id; `zone` is for times without one.

    Raises DefinitionError with the reason why it can't be taken.
    """
    last, start, expires = (_ms(task, name, zone) for name in ("last_run_at", "start_time", "expires"))
    options = {name: value for name in _OPTIONS if (value := task.get(name)) not in _NULL}
    options |= {"headers": _json(task, "headers", dict)}
    if expires is not None or task.get("expire_seconds"):
        options["expires"] = task["expire_seconds"] if expires is None else iso(expires)
    return OldEntry(
        name=str(task["name"]),
        task=str(task["task"]),
        when=when_of(task, schedules, zone, last),
        args=tuple(_json(task, "args", list)),
        kwargs=_json(task, "kwargs", dict),
        options=options_of(options),
        enabled=bool(task["enabled"]),
        last=last,
        count=int(task.get("total_run_count") or 0),
        start=start,
        saved=_ms(task, "date_changed", zone),
        once=bool(task.get("one_off")) or task.get("clocked_id") is not None,
        description=str(task.get("description") or ""),
    )


def snapshot_of(task: Row, zone: tzinfo) -> Snapshot:
    """What it remembers of a task's fires."""
    return Snapshot(_ms(task, "last_run_at", zone), int(task.get("total_run_count") or 0))


def when_of(task: Row, schedules: Mapping[str, Mapping[Any, Row]], zone: tzinfo, last: int | None) -> When:
    """When a task is due. Raises BadSchedule."""
    given = [kind for kind in SCHEDULES if task.get(f"{kind}_id") is not None]
    if len(given) != 1:
        raise BadSchedule("schedule", f"expected one of {', '.join(SCHEDULES)}; got {' and '.join(given) or 'none'}.")
    (kind,) = given
    row = schedules[kind].get(task[f"{kind}_id"])
    if row is None:
        raise BadSchedule("schedule", f"expected the {kind} schedule {task[f'{kind}_id']}; its row is gone.")
    return _READ[kind](row, zone, last)


def _interval(row: Row, _zone: tzinfo, last: int | None) -> When:
    unit = _LENGTHS.get(str(row["period"]))
    if unit is None:
        raise BadSchedule("schedule", f"expected a period of {', '.join(_LENGTHS)}; got {row['period']!r}.")
    return every(round(int(row["every"]) * unit), last)


def _crontab(row: Row, _zone: tzinfo, _last: int | None) -> When:
    return cron_of(row, str(row.get("timezone") or "UTC"))


def _solar(row: Row, _zone: tzinfo, _last: int | None) -> When:
    return Solar(str(row["event"]), float(row["latitude"]), float(row["longitude"]))


def _clocked(row: Row, zone: tzinfo, _last: int | None) -> When:
    moment = _ms(row, "clocked_time", zone)
    if moment is None:
        raise BadSchedule("schedule", "expected a moment; its clocked schedule has none.")
    return Once(from_ms(moment))


_READ: dict[str, Callable[[Row, tzinfo, int | None], When]] = {
    "interval": _interval,
    "crontab": _crontab,
    "solar": _solar,
    "clocked": _clocked,
}


def _json(row: Row, name: str, wanted: type[Any]) -> Any:
    text = row.get(name)
    if text in _NULL:
        return wanted()
    try:
        value = json.loads(text) if isinstance(text, (str, bytes)) else text
    except ValueError as error:
        raise DefinitionError(name, f"expected JSON; got {text!r} ({error}).") from error
    if not isinstance(value, wanted):
        raise DefinitionError(name, f"expected a JSON {'list' if wanted is list else 'object'}; got {text!r}.")
    return value


def _ms(row: Row, name: str, zone: tzinfo) -> int | None:
    """A moment as a database hands it out: a datetime, or ISO text."""
    value = row.get(name)
    if value in _NULL:
        return None
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError as error:
        raise DefinitionError(name, f"expected a time; got {value!r} ({error}).") from error
    return to_ms(moment if moment.tzinfo else moment.replace(tzinfo=zone))

"""Definitions in their three shapes: a JobSpec, the rows of Job and Schedule, and plain values by field.

The plain values (JSON) are what ownership is decided on: field by field, what the code says and what an operator says.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, cast

from backbeat.admin.models import Job, Schedule
from backbeat.core.hashed import hashed
from backbeat.core.job import JobSpec, Misfire, Overlap
from backbeat.core.job import Schedule as CoreSchedule
from backbeat.core.retry import Retry
from backbeat.core.when import Cron, Every, Once, When, from_ms, from_text, to_ms, to_text

Values = dict[str, Any]

# Fields that are one column of Job under the same name.
PLAIN = (
    "pool",
    "priority",
    "timeout",
    "soft_timeout",
    "memory",
    "start_deadline",
    "overlap",
    "misfire",
    "misfire_limit",
    "misfire_window",
    "max_concurrency",
    "concurrency_key",
    "rate",
    "rate_key",
    "rate_burst",
    "batch",
    "enabled",
    "owner",
    "labels",
    "description",
)
RETRY = ("max", "backoff", "delay", "cap", "jitter", "on", "give_up_on")
OWNABLE = (*PLAIN, "retry", "schedules")
"""Every field that code and operators own apart from each other. The task is the code's alone."""

_CRON = ("expr", "tz", "dialect", "gap", "fold", "days", "hash_key")
_NO_CRON = Cron("")
_WITH_COLUMNS = ("cron", "every", "once")
_SCHEDULE = ("args", "kwargs", "enabled", "start", "end", "max_runs", "jitter", "calendar_mode")


def values_of(spec: JobSpec) -> Values:
    """The JSON values of a spec, by field of OWNABLE."""
    values: Values = {name: getattr(spec, name) for name in PLAIN}
    values |= {"overlap": str(spec.overlap), "misfire": str(spec.misfire), "labels": dict(spec.labels)}
    values["retry"] = {name: _listed(getattr(spec.retry, name)) for name in RETRY}
    values["schedules"] = sorted(map(_schedule_values, spec.schedules), key=lambda schedule: str(schedule["key"]))
    # Once through JSON, as in the database: a tuple among the arguments would for ever differ from the list it became.
    return cast("Values", json.loads(json.dumps(values)))


def spec_of(name: str, task: str, values: Values) -> JobSpec:
    """The spec of such values. Raises DefinitionError when they can't be one."""
    plain = {key: values[key] for key in PLAIN}
    plain |= {"overlap": Overlap(values["overlap"]), "misfire": Misfire(values["misfire"])}
    retry: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in values["retry"].items()}
    schedules = tuple(schedule_spec(schedule) for schedule in values["schedules"])
    return JobSpec(name=name, task=task, retry=Retry(**retry), schedules=schedules, **plain)


def spec_in(job: Job, schedules: Iterable[Schedule], *, enabled: bool | None = None) -> JobSpec:
    """The spec that the rows hold, ready for the scheduler. Raises DefinitionError when it holds nonsense."""
    values = values_in(job, schedules)
    if enabled is not None:
        values["enabled"] = enabled
    for schedule in values["schedules"]:
        identity = f"{job.name}#{schedule['key']}" if schedule["key"] else job.name
        schedule["when"] = to_text(hashed(from_text(schedule["when"]), identity))
    return spec_of(job.name, job.task, values)


def values_in(job: Job, schedules: Iterable[Schedule]) -> Values:
    """The JSON values that the rows hold."""
    values: Values = {name: getattr(job, name) for name in PLAIN}
    values["retry"] = {name: getattr(job, f"retry_{name}") for name in RETRY}
    values["schedules"] = [schedule_values_in(schedule) for schedule in schedules]
    return values


def set_columns(job: Job, values: Mapping[str, Any]) -> None:
    """Put values into the job's columns; schedules have rows of their own."""
    for name, value in values.items():
        if name == "retry":
            for part in RETRY:
                setattr(job, f"retry_{part}", value[part])
        elif name != "schedules":
            setattr(job, name, value)


def set_schedule_columns(row: Schedule, values: Values) -> None:
    """Put one schedule's values into its row."""
    when = from_text(values["when"])
    row.kind = kind_of(when)
    cron = when if isinstance(when, Cron) else _NO_CRON
    for name in _CRON:
        setattr(row, name, getattr(cron, name))
    row.interval = str(when.interval) if isinstance(when, Every) else ""
    row.anchor = when.anchor if isinstance(when, Every) else None
    row.at = when.at if isinstance(when, Once) else None
    row.line = "" if row.kind in _WITH_COLUMNS else to_text(when)
    for name in _SCHEDULE:
        setattr(row, name, _value(values, name))
    row.start, row.end = _moment(values["start"]), _moment(values["end"])
    row.calendar = values["calendar"] or ""


def schedule_values_in(row: Schedule) -> Values:
    """The JSON values of a schedule's row."""
    values: Values = {name: getattr(row, name) for name in _SCHEDULE}
    values |= {"key": row.key, "when": to_text(when_in(row)), "calendar": row.calendar or None}
    return values | {"start": _ms(row.start), "end": _ms(row.end)}


def schedule_spec(values: Values) -> CoreSchedule:
    """The schedule of such values. Raises DefinitionError."""
    plain = {name: _value(values, name) for name in _SCHEDULE} | {"calendar": values["calendar"]}
    plain |= {"args": tuple(values["args"]), "kwargs": dict(values["kwargs"])}
    return CoreSchedule(when=from_text(values["when"]), key=values["key"], **plain)


def when_in(row: Schedule) -> When:
    """When the row is due. Raises BadSchedule when its columns name no moment."""
    match row.kind:
        case "every":
            return Every(row.interval, row.anchor)
        case "once" if row.at is not None:
            return Once(row.at)
        case "rrule" | "solar":
            return from_text(row.line)
        case _:
            return Cron(**{name: getattr(row, name) for name in _CRON})


def kind_of(when: When) -> str:
    """The word for the kind of a schedule."""
    return to_text(when).partition("|")[0]


def _schedule_values(schedule: CoreSchedule) -> Values:
    values: Values = {name: getattr(schedule, name) for name in _SCHEDULE}
    values |= {"key": schedule.key, "when": to_text(schedule.when), "calendar": schedule.calendar_name or None}
    return values | {"args": list(schedule.args), "kwargs": dict(schedule.kwargs)}


def _value(values: Values, name: str) -> Any:
    """A value; what was noted before there was such a field has the field's default."""
    return values.get(name, "skip") if name == "calendar_mode" else values[name]


def _listed(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _ms(moment: datetime | None) -> int | None:
    return None if moment is None else to_ms(moment)


def _moment(ms: int | None) -> datetime | None:
    return None if ms is None else from_ms(ms)

"""Putting a definition into its rows: the one place where a job's version grows and its publication is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backbeat.admin.models import Job, Schedule
from backbeat.admin.publishing import publish
from backbeat.admin.rows import OWNABLE, Values, set_columns, set_schedule_columns, values_in

# What is no field of the definition, but changes how the job appears or whether it fires.
_PUBLISHERS = ("id", "published", "published_version")
AROUND = (
    "task",
    "source",
    "module",
    "place",
    "code",
    "overridden",
    "orphaned_at",
    "paused_at",
    "paused_reason",
    "paused_by",
    "paused_until",
    "catch_up_from",
)


def current_values(job: Job) -> Values:
    """What the rows hold now."""
    return values_in(job, job.schedules.all())


def locked(job: Job) -> Job:
    """The job as it is now, held until the transaction ends. What a page or a caller read earlier may be out of date."""
    return Job.objects.select_for_update().get(pk=job.pk)


def snapshot(job: Job) -> dict[str, Any] | None:
    """Everything that `commit` compares, or None for a job that was never saved."""
    if not job.pk:
        return None
    return {**current_values(job), **_around(job)}


def commit(job: Job, values: Values, before: Mapping[str, Any] | None) -> bool:
    """Store the values and the job's other columns, and publish it; False when nothing differs from `before`.

    Call within a transaction.
    """
    if before is not None and {**values, **_around(job)} == before:
        return False
    set_columns(job, values)
    job.version += 1
    # What the index holds is written by the publisher alone, which may be at work at this moment.
    ours = [field.name for field in Job._meta.concrete_fields if field.name not in _PUBLISHERS]  # noqa: SLF001 - public, only spelt privately
    job.save(update_fields=None if before is None else ours)
    _write_schedules(job, values["schedules"])
    publish(job)
    return True


def differing(values: Values, code: Mapping[str, Any] | None) -> list[str]:
    """The fields whose values are not the code's. A field that the code's record does not know counts as equal."""
    return [] if code is None else [name for name in OWNABLE if name in code and values[name] != code[name]]


def _around(job: Job) -> dict[str, Any]:
    return {name: getattr(job, name) for name in AROUND}


def _write_schedules(job: Job, wanted: list[Values]) -> None:
    rows = {row.key: row for row in job.schedules.all()}
    for values in wanted:
        row = rows.pop(values["key"], None) or Schedule(job=job, key=values["key"])
        set_schedule_columns(row, values)
        row.save()
    if rows:
        job.schedules.filter(pk__in=[row.pk for row in rows.values()]).delete()
    # A prefetched list would still hold the rows as they were.
    getattr(job, "_prefetched_objects_cache", {}).pop("schedules", None)

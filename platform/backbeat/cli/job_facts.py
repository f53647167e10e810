"""What `backbeat job` tells of jobs, as data. Computed by the functions that the scheduler and the admin use."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from backbeat.admin import calendars
from backbeat.admin.models import Job, Run
from backbeat.admin.pages.outlook import last_runs, next_runs
from backbeat.admin.publishing import to_spec
from backbeat.admin.writing import current_values
from backbeat.core.entry import Timing, offset
from backbeat.core.hashed import hashed
from backbeat.core.job import JobSpec, Schedule
from backbeat.core.occurrence import describe, notes
from backbeat.core.outlook import outlook
from backbeat.core.secrets import masked
from backbeat.core.state import TERMINAL
from backbeat.core.when import Cron, RRule, from_ms, iso, to_ms
from backbeat.core.zone import load

_RECENT = 5


def state_of(job: Job) -> str:
    """One word for why a job does or does not fire."""
    if job.orphaned:
        return "orphaned"
    if job.paused:
        return "paused"
    return "enabled" if job.enabled else "disabled"


def overview(jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """A line for each job."""
    due, recent = next_runs(jobs), last_runs([job.name for job in jobs])
    return [
        {
            "name": job.name,
            "state": state_of(job),
            "next": _iso(due.get(job.name)),
            "last": recent[job.name][-1][1] if recent[job.name] else None,
            "pool": job.pool,
            "priority": job.priority,
            "owner": job.owner,
            "schedules": [one["means"] for one in _meanings(to_spec(job))],
        }
        for job in jobs
    ]


def details(job: Job, now: datetime) -> dict[str, Any]:
    """Everything there is to know of one job."""
    spec = to_spec(job)
    policies = {name: value for name, value in current_values(job).items() if name != "schedules"}
    return {
        "name": job.name,
        "task": job.task,
        "state": state_of(job),
        **policies,
        "source": job.source,
        "place": job.place,
        "overridden": list(job.overridden),
        "paused": _pause(job),
        "schedules": [
            {**meaning, **_schedule(spec, schedule, now)}
            for meaning, schedule in zip(_meanings(spec, now), spec.schedules, strict=True)
        ],
        "recent": [
            {"run": run.run_id, "state": run.state, "queued": _iso(run.queued_at), "finished": _iso(run.finished_at)}
            for run in Run.objects.filter(job=job.name).order_by("-queued_at")[:_RECENT]
        ],
    }


def upcoming(job: Job, count: int, now: datetime) -> list[dict[str, Any]]:
    """The next runs over all enabled schedules, in the order in which they become due."""
    spec = to_spec(job)
    times = [
        {"schedule": spec.schedule_id(schedule), "nominal": iso(moment), "due": iso(moment + shift), "there": there}
        for schedule in spec.schedules
        if schedule.enabled
        for moment, shift, there in _times(spec, schedule, count, to_ms(now))
    ]
    return sorted(times, key=lambda one: datetime.fromisoformat(one["due"]))[:count]


def outcome_of(run_id: str) -> dict[str, Any] | None:
    """How a run ended, as history has it; None while it has not."""
    run = Run.objects.filter(run_id=run_id, state__in=[str(state) for state in TERMINAL]).first()
    if run is None:
        return None
    error = {"type": run.error_type, "message": run.error_message} if run.error_type else None
    result = json.loads(run.result) if run.result else None
    return {"run": run.run_id, "state": run.state, "result": result, "error": error, "reason": run.reason}


def _meanings(spec: JobSpec, now: datetime | None = None) -> list[dict[str, Any]]:
    """What each schedule means in words, and with `now` what to mind about it."""
    whens = [(spec.schedule_id(schedule), hashed(schedule.when, spec.schedule_id(schedule))) for schedule in spec.schedules]
    return [{"id": one, "means": describe(when), "notes": notes(when, to_ms(now)) if now else []} for one, when in whens]


def _schedule(spec: JobSpec, schedule: Schedule, now: datetime) -> dict[str, Any]:
    return {
        "enabled": schedule.enabled,
        "args": masked(schedule.args),
        "kwargs": masked(schedule.kwargs),
        "next": [iso(moment) for moment, _, _ in _times(spec, schedule, 3, to_ms(now))],
    }


def _times(spec: JobSpec, schedule: Schedule, count: int, now: int) -> list[tuple[int, int, str]]:
    """(nominal, shift by jitter, wall clock in the schedule's zone) of the next occurrences."""
    schedule_id = spec.schedule_id(schedule)
    when, jitter = hashed(schedule.when, schedule_id), round(schedule.jitter * 1000)
    timing = Timing.of(schedule, when, calendars.known() if schedule.calendar_name else {})
    zone, shift = load(when.tz if isinstance(when, (Cron, RRule)) else "UTC"), offset(schedule_id, jitter)
    return [
        (moment, shift, f"{from_ms(moment).astimezone(zone):%a %Y-%m-%d %H:%M:%S %Z}")
        for moment in outlook(timing, now, count).fires
    ]


def _pause(job: Job) -> dict[str, Any] | None:
    if not job.paused:
        return None
    return {
        "since": _iso(job.paused_at),
        "until": _iso(job.paused_until),
        "by": job.paused_by,
        "reason": job.paused_reason,
    }


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else iso(to_ms(moment))

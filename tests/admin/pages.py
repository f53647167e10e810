"""What the tests of pages share: jobs, runs, and the fields that the job form sends."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from backbeat.admin import definitions
from backbeat.admin.history import DatabaseHistory
from backbeat.admin.models import Job
from backbeat.core.job import JobSpec, Schedule
from backbeat.core.keys import occurrence_id
from backbeat.core.retry import Retry
from backbeat.core.when import Cron, to_ms
from backbeat.runtime.ports import Event
from backbeat.runtime.registry import Place, RegisteredJob

T0 = to_ms(datetime(2026, 11, 23, 2, 30, tzinfo=UTC))
SPEC = JobSpec(
    name="reports.daily",
    task="reports.daily",
    schedules=(Schedule(Cron("30 2 * * *", tz="Europe/Berlin"), kwargs={"limit": 10}),),
    pool="reports",
    priority=8,
    retry=Retry(3),
    timeout=1200.0,
    owner="team-x",
    labels={"tier": "1"},
)


def from_code(*specs: JobSpec) -> None:
    """Deploy these jobs."""
    definitions.sync_from_code(
        [RegisteredJob(spec, lambda: None, Place("jobs/reports.py", 12), "jobs.reports") for spec in specs], []
    )


def recorded(job: str, count: int, state: str = "succeeded", **data: Any) -> list[str]:
    """Runs of a job that ended in a state, an hour apart; their ids, oldest first."""
    ids, events = [], []
    for number in range(count):
        nominal = T0 + number * 3_600_000
        run_id = occurrence_id(job, nominal)
        facts = {"job": job, "task": job, "schedule": job, "nominal": nominal, "effective": nominal, "pool": "reports"}
        facts |= {
            "queue": "reports.p8",
            "queued_at": nominal + 1000,
            "started_at": nominal + 3000,
            "attempt": 1,
            "worker": "w1@host",
        }
        events += [
            Event(f"1/{nominal}-0", "started", run_id, nominal + 3000, facts),
            Event(f"1/{nominal}-1", "finished", run_id, nominal + 9000, {**facts, "state": state, **data}),
        ]
        ids.append(run_id)
    DatabaseHistory().record(events)
    return ids


def form_of(job: Job | None = None, *schedules: dict[str, str], **changes: str) -> dict[str, str]:
    """What a browser sends when it saves the form of a job."""
    rows = list(job.schedules.all()) if job else []
    sent = {
        "name": "from.form",
        "task": "reports.daily",
        "enabled": "on",
        "pool": "default",
        "priority": "5",
        "retry_max": "0",
        "retry_backoff": "exp",
        "retry_jitter": "on",
        "overlap": "skip",
        "misfire": "latest",
        "misfire_limit": "100",
        "batch": "1",
        "schedules-TOTAL_FORMS": str(len(schedules)),
        "schedules-INITIAL_FORMS": str(len(rows)),
        "schedules-MIN_NUM_FORMS": "0",
        "schedules-MAX_NUM_FORMS": "1000",
    }
    if job:
        sent |= {
            "version": str(job.version),
            "pool": job.pool,
            "priority": str(job.priority),
            "timeout": "20m",
            "owner": job.owner,
        }
        sent |= {"retry_max": str(job.retry_max), "labels": "tier=1"}
    for place, schedule in enumerate(schedules):
        whole = {"kind": "cron", "tz": "UTC", "enabled": "on", "dialect": "vixie", "days": "dialect", **schedule}
        if place < len(rows):
            whole |= {"id": str(rows[place].pk), "job": str(rows[place].job_id)}
        sent |= {f"schedules-{place}-{name}": value for name, value in whole.items()}
    return {**sent, **changes}

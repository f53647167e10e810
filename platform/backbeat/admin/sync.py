"""From code to database: what a deploy changes, and what it leaves to the operators."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from django.db import connection, transaction
from django.utils import timezone

from backbeat.admin.calendars import follow_code
from backbeat.admin.models import ImportProblem, Job, Source
from backbeat.admin.rows import values_of
from backbeat.admin.writing import commit, current_values, differing, snapshot
from backbeat.core.check import problems
from backbeat.core.job import JobSpec
from backbeat.runtime import registry
from backbeat.runtime.imports import ImportFailure
from backbeat.runtime.registry import RegisteredJob

# Any number will do, so long as every process asks for the same one ("backbeat" on a phone's keys).
_LOCK = 22252328


@dataclass
class SyncReport:
    """What a sync did, as names of jobs; `refused` holds (name, sentence)."""

    created: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    orphaned: list[str] = field(default_factory=list)
    returned: list[str] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)


@transaction.atomic
def sync_from_code(
    registered: Iterable[RegisteredJob | JobSpec] | None = None, failures: Iterable[ImportFailure] | None = None
) -> SyncReport:
    """Make the database follow the code, by default that which this process has loaded. Only what differs is written.

    An operator's overrides stay. A job whose code is gone is marked orphaned and does not fire; it is never deleted,
    and it is itself again when its code returns. Jobs of a module that could not be imported are left as they were.
    """
    _one_at_a_time()
    report, failures = SyncReport(), list(registry.failures if failures is None else failures)
    given = list(registry.jobs.values()) if registered is None else list(registered)
    report.refused += follow_code(one if isinstance(one, JobSpec) else one.spec for one in given)
    known = {job.name: job for job in Job.objects.prefetch_related("schedules")}
    seen = set()
    for one in given:
        spec = one if isinstance(one, JobSpec) else one.spec
        seen.add(spec.name)
        if wrong := problems(spec):
            report.refused.append((spec.name, " ".join(map(str, wrong))))
            continue
        job = known.get(spec.name) or Job(name=spec.name, source=Source.CODE)
        _follow(job, spec, one if isinstance(one, RegisteredJob) else None, report)
    _mark_orphans([job for name, job in known.items() if name not in seen], failures, report)
    _keep_problems(failures)
    return report


def _follow(job: Job, spec: JobSpec, registered: RegisteredJob | None, report: SyncReport) -> None:
    before, code = snapshot(job), values_of(spec)
    # A job first made by an operator keeps what its operator chose, wherever the code differs.
    owned = job.overridden if job.code is not None else list(code)
    current = current_values(job) if job.pk else code
    values = {name: current[name] if name in owned else value for name, value in code.items()}
    job.code, job.source, job.task = code, Source.CODE, spec.task
    job.overridden = differing(values, code)
    if registered is not None:
        job.module, job.place = registered.module, str(registered.place)
    if job.orphaned:
        job.orphaned_at = None
        report.returned.append(job.name)
    if commit(job, values, before):
        (report.created if before is None else report.changed).append(job.name)


def _mark_orphans(missing: list[Job], failures: list[ImportFailure], report: SyncReport) -> None:
    broken = [failure.module for failure in failures]
    for job in missing:
        excused = any(job.module == module or job.module.startswith(f"{module}.") for module in broken)
        if job.source != Source.CODE or job.orphaned or excused:
            continue
        before = snapshot(job)
        job.orphaned_at = timezone.now()
        commit(job, current_values(job), before)
        report.orphaned.append(job.name)


def _keep_problems(failures: list[ImportFailure]) -> None:
    now = timezone.now()
    for failure in failures:
        shown = {"file": failure.file, "line": failure.line, "error": failure.details or failure.error, "seen_at": now}
        ImportProblem.objects.update_or_create(module=failure.module, defaults=shown)
    ImportProblem.objects.exclude(module__in=[failure.module for failure in failures]).delete()


def _one_at_a_time() -> None:
    """Two processes that start together must not both create a job. SQLite has one writer anyway."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])

"""Writing definitions. The form, the importers, the CLI and the sync with code all change jobs through here.

Code and operators own fields apart from each other: where an operator's value differs from the code's, the field is
`overridden` and a deploy leaves it alone, until `reset` gives it back to the code.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import Case, Count, F, OuterRef, Subquery, Value, When
from django.db.models.functions import Concat

from backbeat.admin import calendars
from backbeat.admin.dag_rows import publish_graphs
from backbeat.admin.models import Job, Omission, Run, Schedule, Source
from backbeat.admin.pausing import end_pauses, missed_while_paused, pause, resume
from backbeat.admin.publishing import publish, publisher, republish, retract, to_spec
from backbeat.admin.rows import values_of
from backbeat.admin.sync import SyncReport, sync_from_code
from backbeat.admin.writing import commit, current_values, differing, locked, snapshot
from backbeat.core.check import verify
from backbeat.core.job import JobSpec
from backbeat.core.job import Schedule as CoreSchedule
from backbeat.core.when import to_ms
from backbeat.errors import BadArguments, DefinitionError, NotAllowed, UnknownJob, nearest
from backbeat.runtime import registry
from backbeat.runtime.params import misnamed

__all__ = [
    "DatabaseDefinitions",
    "SyncReport",
    "delete",
    "end_pauses",
    "job_named",
    "misfits",
    "missed_while_paused",
    "pause",
    "publish",
    "publisher",
    "republish",
    "reset",
    "resume",
    "save",
    "set_enabled",
    "sync_from_code",
    "tend",
    "to_spec",
]


def job_named(name: str) -> Job:
    """The job's row. Raises UnknownJob with the nearest name."""
    job = Job.objects.filter(name=name).first()
    if job is None:
        raise UnknownJob(f"no job is named {name!r}.{nearest(name, Job.objects.values_list('name', flat=True))}")
    return job


@transaction.atomic
def save(spec: JobSpec, *, source: str = Source.ADMIN) -> Job:
    """Store an operator's or an importer's definition; it takes effect when the transaction commits.

    On a job that the code defines, every field that differs from the code becomes an override. Raises DefinitionError.
    """
    verify(spec)
    if wrong := [*keys_unknown(spec), *(error for schedule in spec.schedules for error in misfits(spec.task, schedule))]:
        raise wrong[0]
    job = Job.objects.select_for_update().filter(name=spec.name).first() or Job(name=spec.name, source=source)
    before, values = snapshot(job), values_of(spec)
    if job.code is None:
        job.task = spec.task
    job.overridden = differing(values, job.code)
    commit(job, values, before)
    return job


def keys_unknown(spec: JobSpec) -> list[DefinitionError]:
    """Keys of its limits that its function has no arguments for; nothing when its code is not loaded here."""
    known = registry.jobs.get(spec.task)
    return misnamed(spec, known.params) if known is not None else []


def misfits(task: str, schedule: CoreSchedule) -> list[BadArguments]:
    """What the job's function would say of a schedule's arguments; nothing when its code is not loaded here."""
    known = registry.jobs.get(task)
    try:
        if known is not None:
            known.params.validate(schedule.args, schedule.kwargs)
    except BadArguments as error:
        return [error]
    return []


def tend() -> int:
    """What the keeper does for definitions: ends pauses that are over, publishes what Redis does not have yet."""
    return calendars.publish() + publish_graphs() + len(end_pauses()) + republish()


@transaction.atomic
def set_enabled(job: Job, *, enabled: bool) -> bool:
    """Enable or disable; False when it was so already."""
    job = locked(job)
    before, values = snapshot(job), {**current_values(job), "enabled": enabled}
    job.overridden = differing(values, job.code)
    return commit(job, values, before)


@transaction.atomic
def reset(job: Job, fields: Iterable[str] | None = None) -> list[str]:
    """Give overridden fields (all of them by default) back to the code; returns those that changed."""
    job = locked(job)
    given_back = [name for name in job.overridden if fields is None or name in set(fields)]
    before = snapshot(job)
    values = current_values(job) | {name: (job.code or {})[name] for name in given_back}
    job.overridden = differing(values, job.code)
    commit(job, values, before)
    return given_back


@transaction.atomic
def delete(job: Job) -> None:
    """Remove a definition; its history stays. Raises NotAllowed for a job that the code would bring back."""
    if job.source == Source.CODE and not job.orphaned:
        raise NotAllowed(f"job {job.name!r} is defined in code ({job.place or job.task}); remove it there, or disable it here.")
    retract(job)
    job.delete()


_CHUNK = 500  # names in one query: databases limit the variables of a statement


class DatabaseDefinitions:
    """The Definitions port: what the index is rebuilt from."""

    def names(self) -> list[str]:
        """As of Definitions. Graphs that Redis lacks go there first."""
        publish_graphs()
        return list(Job.objects.order_by("pk").values_list("name", flat=True))

    def specs(self, names: Sequence[str]) -> Iterator[JobSpec]:
        """These jobs, as the scheduler should see them."""
        for at in range(0, len(names), _CHUNK):
            for job in Job.objects.filter(name__in=names[at : at + _CHUNK]).prefetch_related("schedules"):
                yield to_spec(job)

    def tend(self) -> int:
        """See `tend` above."""
        return tend()

    def last_fires(self) -> dict[str, int]:
        """The newest nominal time (epoch ms) known to history, whether it ran or was left out, per schedule id."""
        newest: dict[str, int] = {}
        for schedule_id, ran, left_out in _newest_occurrences():
            moments = [to_ms(moment) for moment in (ran, left_out) if moment is not None]
            if moments:
                newest[schedule_id] = max(moments)
        return newest

    def runs_had(self, names: Sequence[str]) -> dict[str, int]:
        """How many runs history knows of the schedules of these jobs, per schedule id."""
        runs = Run.objects.filter(job__in=names, nominal__isnull=False).exclude(schedule="").order_by()
        return dict(runs.values_list("schedule").annotate(Count("pk")))


def _newest_occurrences() -> Iterator[tuple[str, datetime | None, datetime | None]]:
    identity = Case(When(key="", then=F("job__name")), default=Concat("job__name", Value("#"), "key"))
    same = {"job": OuterRef("job__name"), "schedule": OuterRef("identity")}
    # Spelt like the condition of the unique index, so that the index is used.
    runs = Run.objects.filter(**same, nominal__isnull=False).exclude(schedule="").order_by("-nominal")
    omissions = Omission.objects.filter(**same).order_by("-last")
    rows = Schedule.objects.annotate(identity=identity).annotate(
        ran=Subquery(runs.values("nominal")[:1]), left_out=Subquery(omissions.values("last")[:1])
    )
    yield from rows.values_list("identity", "ran", "left_out").iterator(chunk_size=1000)

"""The Records port on Django's database: what jobs and runs look like to those who ask about them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.db import DatabaseError, InterfaceError

from backbeat.admin import models
from backbeat.admin.publishing import to_spec
from backbeat.core import why_facts
from backbeat.core.job import JobSpec
from backbeat.core.keys import owner_of
from backbeat.core.state import Reason, RunState
from backbeat.core.when import from_ms, to_ms
from backbeat.runtime.records import Past


class DatabaseRecords:
    """Reads only, each by an index."""

    unavailable: tuple[type[Exception], ...] = (DatabaseError, InterfaceError)

    def job(self, name: str) -> tuple[why_facts.Job, JobSpec] | None:
        """A job as it is defined, with its schedules, also those of a job that is held."""
        row = models.Job.objects.prefetch_related("schedules").filter(name=name).first()
        if row is None:
            return None
        spec = to_spec(row)
        facts = why_facts.Job(
            name=name,
            enabled=row.enabled,
            orphaned=row.orphaned,
            scheduled=any(schedule.enabled for schedule in spec.schedules),
            pause=_pause(row),
        )
        return facts, spec

    def names(self) -> Iterable[str]:
        """The names of all jobs."""
        return models.Job.objects.values_list("name", flat=True)

    def run(self, run_id: str) -> why_facts.Record | None:
        """A run as history has it."""
        row = models.Run.objects.filter(run_id=run_id).first()
        if row is None:
            return None
        return why_facts.Record(
            state=RunState(row.state),
            attempts=row.attempts,
            worker=row.worker,
            started=_ms(row.started_at),
            finished=_ms(row.finished_at),
            reason=row.reason,
            error_type=row.error_type,
            error_message=row.error_message,
        )

    def omission(self, schedule_id: str, nominal: int) -> why_facts.Omission | None:
        """The recorded range that this occurrence (epoch ms) fell into."""
        moment = from_ms(nominal)
        rows = models.Omission.objects.filter(job=owner_of(schedule_id), schedule=schedule_id, last__gte=moment)
        row = rows.filter(first__lte=moment).order_by("last").first()
        if row is None:
            return None
        first, last = to_ms(row.first), to_ms(row.last)
        return why_facts.Omission(Reason(row.reason), first, last, row.count, row.actor, row.note)

    def past(self, run_id: str) -> Past | None:
        """A run of history with its arguments."""
        row = models.Run.objects.filter(run_id=run_id).first()
        if row is None:
            return None
        return Past(row.job, RunState(row.state), row.args or [], row.kwargs or {}, row.dag_run)


def _pause(row: models.Job) -> why_facts.Pause | None:
    if row.paused_at is None:
        return None
    return why_facts.Pause(row.paused_reason, row.paused_by, to_ms(row.paused_at), _ms(row.paused_until))


def _ms(moment: datetime | None) -> int | None:
    return None if moment is None else to_ms(moment)

"""Holding a job back for a while: with a reason, an end if wanted, and a record of what did not run meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from django.db import transaction

from backbeat.admin import calendars, clock
from backbeat.admin.backfills import Wish, order
from backbeat.admin.models import Job, Omission
from backbeat.admin.publishing import to_spec
from backbeat.admin.writing import commit, current_values, locked, snapshot
from backbeat.core.entry import Timing
from backbeat.core.missed import WALK, Missed, missed
from backbeat.core.state import Reason
from backbeat.core.when import from_ms, to_ms
from backbeat.errors import DefinitionError

AFTERWARDS = ("none", "last", "all", "policy")
"""Which of the occurrences that fell into a pause run after all; `policy` leaves that to the job's misfire policy."""

WHOLE = 1_000_000
"""Occurrences of a pause that are counted when it ends: two years of minutes."""


@transaction.atomic
def pause(job: Job, *, reason: str, actor: str, until: datetime | None = None) -> None:
    """Fire nothing until `until` or until `resume`. A job that is paused already only takes the new reason and end."""
    if not reason.strip():
        raise DefinitionError("reason", "expected a reason, so that the next person knows why it does not run; got none.")
    if until is not None and until <= clock.now():
        raise DefinitionError("until", f"expected a time that is still to come; got {until.isoformat()}.")
    job = locked(job)
    before = snapshot(job)
    job.paused_at = job.paused_at or clock.now()
    job.paused_reason, job.paused_by, job.paused_until = reason.strip(), actor, until
    commit(job, current_values(job), before)


@transaction.atomic
def resume(job: Job, *, actor: str, afterwards: str = "none") -> None:
    """Fire again. What fell into the pause is recorded as left out, or handed to the misfire policy.

    Of what was left out, `last` and `all` order a backfill. Raises as `backfills.order` does; then it stays paused.
    """
    job = locked(job)
    if job.paused_at is None:
        return
    if afterwards not in AFTERWARDS:
        raise DefinitionError("afterwards", f"expected one of {', '.join(AFTERWARDS)}; got {afterwards!r}.")
    before, gaps, reason = snapshot(job), missed_while_paused(job, WHOLE), job.paused_reason
    if afterwards == "policy":
        job.catch_up_from = job.paused_at
    else:
        _leave_out(job, gaps, actor)
    job.paused_at = job.paused_until = None
    job.paused_reason = job.paused_by = ""
    commit(job, current_values(job), before)
    if afterwards in ("last", "all"):
        for schedule_id, gap in gaps.items():
            since, until = (gap.first if afterwards == "all" else gap.last), gap.last + 1
            wish = Wish(from_ms(since), from_ms(until), schedule_id.partition("#")[2])
            order(job, wish, actor=actor, reason=f"resumed after a pause: {reason}")


def end_pauses() -> list[str]:
    """Resume the jobs whose pause is over; returns their names. Safe to call from several processes."""
    over = Job.objects.filter(paused_until__lte=clock.now()).values_list("pk", flat=True)
    return [name for pk in over if (name := _end_pause(pk))]


@transaction.atomic
def _end_pause(pk: int) -> str:
    job = Job.objects.select_for_update().filter(pk=pk, paused_until__lte=clock.now()).first()
    if job is None:
        return ""
    resume(job, actor=f"end of the pause by {job.paused_by}")
    return job.name


def missed_while_paused(job: Job, most: int = WALK) -> dict[str, Missed]:
    """What fell into the pause so far, per schedule id; counted up to `most`."""
    if job.paused_at is None:
        return {}
    spec, since, now = to_spec(job), to_ms(job.paused_at), to_ms(clock.now())
    found = {}
    for schedule in spec.schedules:
        timing = Timing.of(schedule, calendars=calendars.known() if schedule.calendar_name else {})
        if schedule.enabled and job.enabled and (gap := missed(timing, since, now, most)):
            found[spec.schedule_id(schedule)] = gap
    return found


def _leave_out(job: Job, gaps: Mapping[str, Missed], actor: str) -> None:
    note = job.paused_reason
    for schedule_id, gap in gaps.items():
        bound = "" if gap.exact else " (at least; there were too many to count)"
        Omission.objects.get_or_create(
            job=job.name,
            schedule=schedule_id,
            reason=Reason.PAUSED.value,
            first=from_ms(gap.first),
            defaults={"last": from_ms(gap.last), "count": gap.count, "actor": actor, "note": note + bound},
        )

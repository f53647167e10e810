"""From the database to the scheduler's index: at once when a transaction commits, and again by sweep when that failed.

A job's `version` grows with each change and `published_version` follows once the index has it, so a crash or an absent
Redis between commit and publication leaves a row that `republish` finds.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from django.db import transaction
from django.db.models import F
from redis.exceptions import RedisError

from backbeat.admin.models import Job, Omission, Removal, Run
from backbeat.admin.rows import spec_in
from backbeat.core.job import JobSpec
from backbeat.core.keys import owner_of
from backbeat.core.when import to_ms
from backbeat.errors import StoreUnavailable
from backbeat.store.store import open_store

log = logging.getLogger(__name__)


class Publisher(Protocol):
    """Where definitions take effect."""

    def put(self, spec: JobSpec, since: Mapping[str, int] | None = None) -> None:
        """Write a job's schedules; those that are disabled are taken out. `since`: see `ScheduleIndex.put_many`."""

    def remove(self, schedule_ids: Iterable[str]) -> None:
        """Take schedules out."""

    def forget(self, job: str, schedule_ids: Iterable[str]) -> None:
        """Take a whole job out."""


def publisher() -> Publisher:
    """The index of this deployment."""
    return open_store().index


def to_spec(job: Job) -> JobSpec:
    """The job as the scheduler should see it: disabled while it is paused or its code is gone."""
    return spec_in(job, job.schedules.all(), enabled=job.live)


def publish(job: Job) -> None:
    """Send the job to the index when the current transaction commits. An absent Redis is left to the sweep."""
    pk = job.pk
    transaction.on_commit(lambda: now_or_later(lambda: _publish(pk), f"job {job.name}"))


def retract(job: Job) -> None:
    """Take a job that is being deleted out of the index when the current transaction commits."""
    held = Job.objects.values_list("published", flat=True).get(pk=job.pk)
    Removal.objects.update_or_create(job=job.name, defaults={"schedule_ids": held})
    transaction.on_commit(lambda: now_or_later(_remove_retracted, f"removal of job {job.name}"))


def republish() -> int:
    """Send whatever the index does not have yet; returns how many jobs that were. Raises redis' errors when it is away."""
    _remove_retracted()
    stale = list(Job.objects.exclude(version=F("published_version")).values_list("pk", flat=True))
    for pk in stale:
        _publish(pk)
    return len(stale)


def now_or_later(work: Callable[[], object], what: str) -> None:
    """Do what needs Redis; while it is away, a keeper's sweep does it instead."""
    try:
        work()
    except (StoreUnavailable, RedisError, OSError) as error:
        log.warning("%s will reach the scheduler with the next sweep: %s", what, error)


def put_anew(job: Job) -> None:
    """Write a job whose entries were parked; they go on after the last occurrence that history knows."""
    spec = to_spec(job)
    publisher().put(spec, {one: moment for one in map(spec.schedule_id, spec.schedules) if (moment := _last_of(one))})


def _last_of(schedule_id: str) -> int | None:
    job = owner_of(schedule_id)
    runs = Run.objects.filter(job=job, schedule=schedule_id, nominal__isnull=False).exclude(schedule="")
    ran = runs.order_by("-nominal").values_list("nominal", flat=True).first()
    left_out = Omission.objects.filter(job=job, schedule=schedule_id).order_by("-last").values_list("last", flat=True).first()
    return max((to_ms(moment) for moment in (ran, left_out) if moment is not None), default=None)


def _publish(pk: int) -> None:
    """Write the newest committed version; again when somebody saved meanwhile, so that the last save is what stays."""
    while job := Job.objects.prefetch_related("schedules").filter(pk=pk).first():
        spec = to_spec(job)
        ids = [spec.schedule_id(schedule) for schedule in spec.schedules]
        gone = set(job.published) - set(ids)
        # Noted first: if this process dies after writing to the index, whoever comes next knows what may be in it.
        Job.objects.filter(pk=pk).update(published=[*ids, *sorted(gone)])
        index = publisher()
        index.remove(gone)
        index.put(spec, dict.fromkeys(ids, to_ms(job.catch_up_from)) if job.catch_up_from else None)
        done = {"published_version": job.version, "published": ids, "catch_up_from": None}
        if Job.objects.filter(pk=pk, version=job.version).update(**done):
            return


def _remove_retracted() -> None:
    for removal in Removal.objects.all():
        publisher().forget(removal.job, removal.schedule_ids)
        removal.delete()
        # A new job may have taken the name meanwhile, and its entries just went as well.
        for pk in Job.objects.filter(name=removal.job).values_list("pk", flat=True):
            _publish(pk)

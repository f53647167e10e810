"""Definitions that come from another scheduler: all of them or none, and the same ones twice change nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from django.db import transaction

from backbeat.admin.definitions import save, to_spec
from backbeat.admin.models import Job, Source
from backbeat.core.job import JobSpec
from backbeat.core.when import from_ms

COMPARED = ("task", "schedules", "pool")
"""What an import decides. Other fields of a job that is there already are its operators' affair."""

_CHUNK = 500  # names in one query: databases limit the variables of a statement


@dataclass(frozen=True, slots=True)
class Comparison:
    """New jobs, those that are there just so, and those whose name is taken by a job that differs: name -> why."""

    new: tuple[JobSpec, ...]
    unchanged: tuple[str, ...]
    refused: dict[str, str]


def compare(specs: Sequence[JobSpec]) -> Comparison:
    """What importing these jobs would do. Reads only."""
    there = _existing([spec.name for spec in specs])
    new, unchanged, refused = [], [], {}
    for spec in specs:
        job = there.get(spec.name)
        if job is None:
            new.append(spec)
        elif fields := _differences(spec, to_spec(job)):
            refused[spec.name] = _why(job, fields)
        else:
            unchanged.append(spec.name)
    return Comparison(tuple(new), tuple(unchanged), refused)


@transaction.atomic
def import_jobs(
    specs: Sequence[JobSpec],
    *,
    keep_going: bool = False,
    since: Mapping[str, int] | None = None,
    before: Callable[[list[str]], Mapping[str, int]] = lambda _names: {},
) -> Comparison:
    """Save the jobs that are not there yet, in one transaction; nothing at all when one is refused, unless `keep_going`.

    They take effect when the transaction commits. A job goes on after `since[name]` (epoch ms), its last occurrence under
    the other scheduler: what fell due after it is for the misfire policy to decide. `before` is called with the names of
    the new jobs while nothing has taken effect, and may say better where they go on. Raises DefinitionError, and then
    nothing is saved.
    """
    found = compare(specs)
    if keep_going or not found.refused:
        for spec in found.new:
            save(spec, source=Source.IMPORT)
        ends = {**(since or {}), **before([spec.name for spec in found.new])}
        for spec in found.new:
            if spec.name in ends:
                # Read when the job is published, which is when the transaction commits.
                Job.objects.filter(name=spec.name).update(catch_up_from=from_ms(ends[spec.name]))
    return found


def has_job(name: str) -> bool:
    """Whether a job of that name is defined here."""
    return Job.objects.filter(name=name).exists()


def _existing(names: Sequence[str]) -> dict[str, Job]:
    chunks = [names[at : at + _CHUNK] for at in range(0, len(names), _CHUNK)]
    return {job.name: job for chunk in chunks for job in Job.objects.filter(name__in=chunk).prefetch_related("schedules")}


def _differences(wanted: JobSpec, there: JobSpec) -> list[str]:
    return [name for name in COMPARED if getattr(wanted, name) != getattr(there, name)]


def _why(job: Job, fields: list[str]) -> str:
    origin = {Source.CODE: f"defined in code ({job.place or job.module})", Source.IMPORT: "from an earlier import"}
    where = origin.get(Source(job.source), "made in the admin")
    return (
        f"a job {job.name!r} is there already, {where}, and differs in {' and '.join(fields)}."
        " Delete that job, or import under another --prefix."
    )

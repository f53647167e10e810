"""The jobs that this process knows from code."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from backbeat.core.check import verify
from backbeat.core.dag import Dag
from backbeat.core.job import JobSpec, Schedule
from backbeat.errors import BadArguments, DefinitionError, DuplicateJob, UnknownJob, nearest
from backbeat.runtime.imports import ImportFailure, import_all
from backbeat.runtime.params import Params, misnamed


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the code something was defined."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class RegisteredJob:
    """A job defined in code: its policies, and the function that does the work."""

    spec: JobSpec
    function: Callable[..., Any]
    place: Place
    module: str
    """The module that defined it; when that fails to import, the job is withdrawn."""
    model: type[Any] | None = None
    """The pydantic model that the function takes, if it takes one."""
    adopted: bool = False
    """Whether the work is done by a Celery task of the deployment's own, unchanged."""
    dag: Dag | None = None
    """The graph, when the function draws one: then its runs are DAG runs."""

    @property
    def name(self) -> str:
        """The job's name."""
        return self.spec.name

    @cached_property
    def params(self) -> Params:
        """What the function takes. Raises DefinitionError for hints that can't be used."""
        return Params.of_task(self.function) if self.adopted else Params.of(self.function, self.model)

    def perform(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Run the function with arguments as they came from a queue. Raises BadArguments, or whatever the function raises."""
        positional, named = self.params.restore(args, kwargs)
        return self.function(*positional, **named)


jobs: dict[str, RegisteredJob] = {}
"""This process's jobs by name."""
failures: list[ImportFailure] = []
"""The modules that can't be imported as they are now."""


def checked(job: RegisteredJob) -> RegisteredJob:
    """The job with its schedules' arguments as JSON. Raises DefinitionError for whatever is wrong with its definition."""
    if (job.spec.concurrency_key or job.spec.rate_key) and (wrong := misnamed(job.spec, job.params)):
        raise wrong[0]
    schedules = tuple(_packed(job, schedule) for schedule in job.spec.schedules)
    return replace(job, spec=verify(replace(job.spec, schedules=schedules)))


def _packed(job: RegisteredJob, schedule: Schedule) -> Schedule:
    """A schedule fires without anybody looking at its arguments, so they are looked at now."""
    try:
        args, kwargs = job.params.validate(schedule.args, schedule.kwargs)
    except BadArguments as error:
        where = f"the schedule {schedule.key!r}" if schedule.key else "the schedule"
        cure = "Give it args or kwargs: Schedule(Cron(…), kwargs={…})."
        raise BadArguments(error.field, f"{error.sentence} So {where} of job {job.name!r} could never run. {cure}") from None
    return replace(schedule, args=tuple(args), kwargs=kwargs)


def add(job: RegisteredJob) -> RegisteredJob:
    """Register a job. Raises DuplicateJob when another place already defined one of this name."""
    there = jobs.get(job.name)
    if there is not None and there.place != job.place:
        raise DuplicateJob(
            f"job {job.name!r} is defined twice: at {there.place} and at {job.place}. "
            "A name is a job's identity, so give one of them another name."
        )
    jobs[job.name] = job
    return job


def get(name: str) -> RegisteredJob:
    """The job of this name. Raises UnknownJob with the nearest name."""
    try:
        return jobs[name]
    except KeyError:
        raise UnknownJob(f"no job {name!r} is registered in this process.{nearest(name, jobs)}") from None


def load(imports: Iterable[str]) -> list[ImportFailure]:
    """Import these modules and every module below them; one that fails is noted, and the others still load.

    Returns the failures of this call; `failures` holds those of every module that is broken now. A module that failed is
    tried again by the next call.
    """
    names = tuple(imports)
    found = import_all(names, check=_unusable)
    for failure in found:
        if failure.module not in sys.modules:
            _withdraw(failure.module)
    failures[:] = [old for old in failures if not _belongs(old.module, names)] + found
    return found


def _unusable(module: str) -> Iterator[ImportFailure]:
    """Jobs of a module whose type hints can't be used: told now. They stay, and their runs fail with the same sentence."""
    for job in [job for job in jobs.values() if job.module == module]:
        try:
            _ = job.params
        except DefinitionError as error:
            yield ImportFailure(module, job.place.file, job.place.line, f"{type(error).__name__}: job {job.name!r}: {error}")


def _withdraw(module: str) -> None:
    # Half a module is not a module: what it defined before it broke would run without what should have followed.
    for name in [job.name for job in jobs.values() if job.module == module]:
        del jobs[name]


def _belongs(module: str, tops: Iterable[str]) -> bool:
    return any(module == top or module.startswith(f"{top}.") for top in tops)

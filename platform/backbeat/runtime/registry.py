"""The jobs that this process knows from code."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from backbeat.core.job import JobSpec
from backbeat.errors import DuplicateJob, UnknownJob, nearest
from backbeat.runtime.imports import ImportFailure, import_all
from backbeat.runtime.params import Params


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

    @property
    def name(self) -> str:
        """The job's name."""
        return self.spec.name

    @cached_property
    def params(self) -> Params:
        """What the function takes. Raises DefinitionError for hints that can't be used."""
        return Params.of(self.function, self.model)

    def perform(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Run the function with arguments as they came from a queue. Raises BadArguments, or whatever the function raises."""
        positional, named = self.params.restore(args, kwargs)
        return self.function(*positional, **named)


jobs: dict[str, RegisteredJob] = {}
"""This process's jobs by name."""
failures: list[ImportFailure] = []
"""The modules that can't be imported as they are now."""


def add(job: RegisteredJob) -> None:
    """Register a job. Raises DuplicateJob when another place already defined one of this name."""
    there = jobs.get(job.name)
    if there is not None and there.place != job.place:
        raise DuplicateJob(
            f"job {job.name!r} is defined twice: at {there.place} and at {job.place}. "
            "A name is a job's identity, so give one of them another name."
        )
    jobs[job.name] = job


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
    found = import_all(names, check=_check)
    for failure in found:
        _withdraw(failure.module)
    failures[:] = [old for old in failures if not _belongs(old.module, names)] + found
    return found


def _check(module: str) -> None:
    """Raise for hints that can't be used, now rather than at the first run."""
    for job in [job for job in jobs.values() if job.module == module]:
        _ = job.params


def _withdraw(module: str) -> None:
    # Half a module is not a module: what it defined before it broke would run without what should have followed.
    for name in [job.name for job in jobs.values() if job.module == module]:
        del jobs[name]


def _belongs(module: str, tops: Iterable[str]) -> bool:
    return any(module == top or module.startswith(f"{top}.") for top in tops)

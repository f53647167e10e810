"""What the runtime asks the database about jobs and runs, for people who ask. The Django app implements it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from backbeat.core import why_facts
from backbeat.core.job import JobSpec
from backbeat.core.state import RunState


@dataclass(frozen=True, slots=True)
class Past:
    """What is needed to run a run again. `args` and `kwargs` are JSON-able."""

    job: str
    state: RunState
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    dag_run: str = ""
    """The DAG run whose node it was; empty for any other run."""


class Records(Protocol):
    """What the database knows of jobs and runs, for those who ask."""

    unavailable: tuple[type[Exception], ...]
    """What is raised while the database is away."""

    def job(self, name: str) -> tuple[why_facts.Job, JobSpec] | None:
        """A job as it is defined, with its schedules, also those of a job that is held."""

    def names(self) -> Iterable[str]:
        """The names of all jobs."""

    def run(self, run_id: str) -> why_facts.Record | None:
        """A run as history has it."""

    def omission(self, schedule_id: str, nominal: int) -> why_facts.Omission | None:
        """The recorded range that this occurrence (epoch ms) fell into."""

    def past(self, run_id: str) -> Past | None:
        """A run of history with its arguments."""

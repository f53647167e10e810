"""What the runtime needs from outside: a place for history and a source of definitions. The Django app implements both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from backbeat.core import why_facts
from backbeat.core.job import JobSpec
from backbeat.core.state import RunState


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a run or an occurrence, as the ledger told it. `at` is epoch ms by Redis' clock."""

    id: str
    """Unique and growing within a slot: `<slot>/<stream id>`."""
    kind: str
    run_id: str
    at: int
    data: Mapping[str, Any] = field(default_factory=dict)


class History(Protocol):
    """Where events become rows. A replay of the same events must change nothing."""

    def record(self, events: Sequence[Event]) -> None:
        """Write all of them or none."""


class Definitions(Protocol):
    """The durable truth about jobs, from which the index can be rebuilt."""

    def specs(self, names: Sequence[str] | None = None) -> Iterable[JobSpec]:
        """Every job that is not deleted, or those of these names."""

    def tend(self) -> int:
        """Do what time and outages left to do: end pauses, publish what the index does not have yet. How much that was."""

    def last_fires(self) -> Mapping[str, int]:
        """The newest nominal time (epoch ms) known to history, per schedule id."""


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

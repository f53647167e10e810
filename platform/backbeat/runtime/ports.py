"""What the runtime needs from outside: history, definitions, a second gate, an outbox. The Django app implements all of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from backbeat.core.job import JobSpec


class Event(NamedTuple):
    """Something that happened to a run or an occurrence, as the ledger told it. `at` is epoch ms by Redis' clock."""

    id: str
    """Unique and growing within a slot: `<slot>/<stream id>`."""
    kind: str
    run_id: str
    at: int
    data: Mapping[str, Any] = MappingProxyType({})
    first: bool = False
    """Whether it seems to be the first that history hears of its run: a hint that makes recording cheaper, no promise."""


class Ended(NamedTuple):
    """The end of a first attempt, when history seems to hear of the run for the first time, and nothing but this.

    No error, no reason, no graph: under load nearly all events are such. `event` tells the same as any other event does.
    Times are epoch ms as text. What is not told is None or empty.
    """

    id: str
    run_id: str
    finished_at: str
    job: str | None
    schedule: str | None
    nominal: str | None
    effective: str | None
    queued_at: str | None
    started_at: str | None
    arguments: str | None
    result: Any
    log: Any
    state: str
    queue: str | None
    worker: str | None
    task: str | None
    pool: str | None
    priority: int | None

    @property
    def alike(self) -> tuple[Any, ...]:
        """What it shares with many: state, queue, worker, task, pool and priority."""
        return self[12:]

    def event(self) -> Event:
        """The same as an event."""
        told = {name: value for name, value in zip(self._fields[2:], self[2:], strict=True) if value is not None and value != ""}
        return Event(self.id, "finished", self.run_id, int(self.finished_at), {**told, "attempt": "1"}, first=True)


class History(Protocol):
    """Where events become rows. A replay of the same events must change nothing."""

    def ready(self, told: Sequence[Event | Ended]) -> Any:
        """What can be worked out of them before the database is asked, in whatever thread."""

    def write(self, batch: Any) -> None:
        """Write all events of what `ready` made, or none."""

    def tidy(self, retention: float | None) -> int:
        """Make room for what comes, take away what is older than `retention` (seconds; None: nothing). How much that was."""


class Definitions(Protocol):
    """The durable truth about jobs, from which the index can be rebuilt."""

    def names(self) -> Iterable[str]:
        """The name of every job that is not deleted."""

    def specs(self, names: Sequence[str]) -> Iterable[JobSpec]:
        """The jobs of these names that are not deleted."""

    def tend(self) -> int:
        """Do what time and outages left to do: end pauses, publish what the index does not have yet. How much that was."""

    def last_fires(self) -> Mapping[str, int]:
        """The newest nominal time (epoch ms) known to history, per schedule id."""

    def runs_had(self, names: Sequence[str]) -> Mapping[str, int]:
        """How many runs history knows of the schedules of these jobs, per schedule id."""


@dataclass(frozen=True, slots=True)
class Entry:
    """The database's answer to an attempt that asks to begin."""

    open: bool
    """Whether it may."""
    fence: int = 0
    """The newest attempt that the database knows of, when that is why it may not."""
    done: bool = False
    """Whether the run's work is done, so that nothing is left but to say so."""
    result: str = ""
    """What it came to then, as JSON text; empty when none was kept."""
    output: str = ""
    """What a DAG node's children get then."""


class Gate(Protocol):
    """One row a run, which outlives whatever happens to Redis."""

    unavailable: tuple[type[Exception], ...]
    """What is raised while the database is away, or its answer got lost."""

    def enter(self, run_id: str, fence: int, worker: str, before: int = 0) -> Entry:
        """Begin an attempt: only one newer than all others, and only while the run is not done.

        What was done up to the attempt `before` is meant to be done again.
        """

    def leave(self, run_id: str, fence: int, result: str, output: str) -> bool:
        """Note that the run is done; False when a newer attempt began or the run was done already."""

    def done(self, run_id: str, fence: int) -> bool:
        """Whether this very attempt is noted as done."""

    def transaction(self) -> AbstractContextManager[object]:
        """A transaction around the work of a job, rolled back by whatever exception leaves it."""


@dataclass(frozen=True, slots=True)
class Submission:
    """A run that somebody asked for, as the database keeps it until the ledger has it."""

    run_id: str
    job: str
    arguments: str
    """JSON text of arguments that were checked."""
    policies: str = ""
    """The job's policies by the code of whoever asked, for a job that nobody defines elsewhere."""
    delay: float = 0.0
    """Seconds to wait, counted from when it is sent."""
    due: int | None = None
    """Epoch ms before which it shall not begin; goes before `delay`."""
    priority: int | None = None
    queue: str = ""
    """Another queue than the job's."""
    reason: str = ""
    results: bool = False
    """Whether Celery's result backend keeps what it returns."""


class Submissions(Protocol):
    """Where what is asked for within a transaction of the database is kept."""

    def add(self, asked: Submission) -> None:
        """Keep it with the current transaction and send it when that commits. A run that is there already stays as it is."""

    def task_of(self, job: str) -> str | None:
        """The Celery task of a job that is defined; None when there is none."""

"""What the runtime needs from outside: a place for history and a source of definitions. The Django app implements both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from backbeat.core.job import JobSpec


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

    def runs_had(self, names: Sequence[str]) -> Mapping[str, int]:
        """How many runs history knows of the schedules of these jobs, per schedule id."""

"""How the time of a run was spent: waiting, queued, running, and waiting for another attempt. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from backbeat.admin.models import Attempt, Run


@dataclass(frozen=True)
class Part:
    """One stretch of a run's time."""

    name: str
    start: datetime
    end: datetime
    detail: str = ""

    @property
    def seconds(self) -> float:
        """How long it was."""
        return (self.end - self.start).total_seconds()


def split(run: Run, attempts: Sequence[Attempt], now: datetime) -> list[Part]:
    """The stretches in order, up to now for a run that has not ended.

    waiting: from the time it was due until it lay in its queue; queued: until a worker took it; retry wait: between the
    end of an attempt and the start of the next.
    """
    due = run.effective or run.nominal
    parts = [Part("waiting", due, run.queued_at)] if due and due < run.queued_at else []
    edge = run.queued_at
    for attempt in attempts:
        if attempt.started_at is None:
            continue
        gap = "queued" if attempt.number == 1 else "retry wait"
        parts.append(Part(gap, edge, max(edge, attempt.started_at)))
        edge = attempt.finished_at or run.finished_at or now
        parts.append(
            Part("running", attempt.started_at, max(edge, attempt.started_at), f"attempt {attempt.number}: {attempt.state}")
        )
    if run.finished_at is None and not any(part.name == "running" and part.end == now for part in parts):
        parts.append(Part("queued" if len(parts) < 2 else "retry wait", edge, max(edge, now)))
    return [part for part in parts if part.seconds > 0 or part.name == "running"]


def totals(parts: Sequence[Part]) -> dict[str, float]:
    """Seconds by kind of stretch."""
    sums: dict[str, float] = {}
    for part in parts:
        sums[part.name] = sums.get(part.name, 0.0) + part.seconds
    return sums

"""Helpers for the tests of your own jobs. No server, no worker, no Celery app is needed.

from backbeat.testing import run_inline

def test_the_report_counts_yesterday():
    done = run_inline(daily, nominal=datetime(2026, 11, 23, 2, tzinfo=UTC), limit=3)

    assert done.result == {"rows": 3}
    assert done.progress[-1] == (1.0, "done")
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from kombu.utils import json

from backbeat.core.keys import occurrence_id
from backbeat.core.when import from_ms, to_ms
from backbeat.runtime.context import CurrentRun, inline_run, running
from backbeat.runtime.handle import Job
from backbeat.runtime.logs import KeptLog

__all__ = ["InlineRun", "run_inline", "run_of"]

_LOG_LIMIT = 1024 * 1024


@dataclass(slots=True)
class InlineRun:
    """What happened in a run that was made here."""

    run: CurrentRun
    result: Any = None
    progress: list[tuple[float, str]] = field(default_factory=list)
    """Every call of `current_run().progress`."""
    heartbeats: int = 0
    """How often the job called `current_run().heartbeat`."""
    kept: KeptLog = field(default_factory=lambda: KeptLog(_LOG_LIMIT), repr=False)

    @property
    def log(self) -> str:
        """What the job wrote to `current_run().log`."""
        return self.kept.text


@contextmanager
def run_of(job: Job[..., Any] | str, *, nominal: datetime | None = None, attempt: int = 1) -> Iterator[InlineRun]:
    """Make the code inside part of a run of `job`: due at `nominal`, at its so-many-th attempt.

    `nominal` must have a time zone (BadSchedule is raised else); the run's id is then the one that the scheduler would give.
    """
    name = job if isinstance(job, str) else job.name
    seen = InlineRun(_run(name, nominal, attempt))
    seen.run.on_progress = lambda fraction, text: seen.progress.append((fraction, text))
    seen.run.on_heartbeat = lambda: setattr(seen, "heartbeats", seen.heartbeats + 1)
    seen.run.log.addHandler(seen.kept)
    with running(seen.run):
        yield seen


def run_inline(job: Job[..., Any], *args: Any, nominal: datetime | None = None, attempt: int = 1, **kwargs: Any) -> InlineRun:
    """Run a job as a worker would: its arguments go through JSON and back. Raises BadArguments and whatever the job raises."""
    travelled_args, travelled_kwargs = json.loads(json.dumps(job.params.validate(args, kwargs)))
    with run_of(job, nominal=nominal, attempt=attempt) as seen:
        seen.run.args, seen.run.kwargs = travelled_args, travelled_kwargs
        seen.result = job(*travelled_args, **travelled_kwargs)
    return seen


def _run(job: str, nominal: datetime | None, attempt: int) -> CurrentRun:
    if nominal is None:
        run = inline_run(job)
        run.attempt = run.fence = attempt
        return run
    moment = to_ms(nominal)
    return CurrentRun(occurrence_id(job, moment), job, attempt=attempt, nominal=from_ms(moment), fence=attempt)

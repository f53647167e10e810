"""What a job may know about the run it is part of: `current_run()`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import uuid4

from backbeat.errors import BackbeatError


def _nothing(*_: object) -> None:
    """What progress and heartbeat do when nobody listens: a run inline has no ledger."""


@dataclass(slots=True, eq=False)
class CurrentRun:
    """One attempt at a run, seen from inside."""

    id: str
    """The run's id: `reports.daily@2026-11-23T02:00:00Z`; the same in every attempt, fit as an idempotency key."""
    job: str
    attempt: int = 1
    """1 for the first try."""
    nominal: datetime | None = None
    """The moment for which the run was due, in UTC; None for a run that no schedule asked for."""
    fence: int = 1
    """Grows with each attempt: a sink that remembers the highest one can refuse a stale attempt."""
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    on_progress: Callable[[float, str], object] = field(default=_nothing, repr=False)
    on_heartbeat: Callable[[], object] = field(default=_nothing, repr=False)
    on_log: Callable[[CurrentRun, logging.Logger], object] = field(default=_nothing, repr=False)
    """Called with the run and its logger when its code first asks for one: most tiny runs log nothing, and loggers are dear."""
    _log: logging.Logger | None = field(init=False, default=None, repr=False)

    @property
    def log(self) -> logging.Logger:
        """A logger whose records are kept with the attempt; they also reach the worker's own log."""
        if self._log is None:
            self._log = _run_logger(self.job)
            self.on_log(self, self._log)
        return self._log

    def progress(self, fraction: float, text: str = "") -> None:
        """Say how far the run is: 0.0 to 1.0. Raises BackbeatError for anything else."""
        if not 0.0 <= fraction <= 1.0:
            raise BackbeatError(f"progress: expected a fraction from 0.0 to 1.0; got {fraction!r}.")
        self.on_progress(float(fraction), text)

    def heartbeat(self) -> None:
        """Renew the run's lease at once, for code that keeps the worker from doing so by itself."""
        self.on_heartbeat()


def _run_logger(job: str) -> logging.Logger:
    # Not registered with logging: a named logger lives for ever and would mix the records of two runs of one job.
    logger = logging.Logger(f"backbeat.job.{job}" if job else "backbeat.job", logging.INFO)  # noqa: LOG001 - see above
    logger.parent = logging.getLogger("backbeat.job")
    return logger


_current: ContextVar[CurrentRun | None] = ContextVar("backbeat_current_run", default=None)
_outside: CurrentRun | None = None


def current_run() -> CurrentRun:
    """The run that this code is part of; outside a run an inline one (id `inline:…`, attempt 1), so that it always works."""
    global _outside
    run = _current.get()
    if run is not None:
        return run
    if _outside is None:
        _outside = inline_run("")
    return _outside


def inside() -> bool:
    """Whether this code is part of a run."""
    return _current.get() is not None


def inline_run(job: str) -> CurrentRun:
    """A run that no ledger knows, for a plain call of a job's function."""
    return CurrentRun(id=f"inline:{uuid4().hex}", job=job)


class running:  # noqa: N801 - a verb, as those of contextlib; a class, because a generator costs a tiny run more than its work
    """Make `run` the current one for the code inside."""

    __slots__ = ("_token", "run")

    def __init__(self, run: CurrentRun) -> None:
        self.run = run

    def __enter__(self) -> CurrentRun:
        self._token = _current.set(self.run)
        return self.run

    def __exit__(self, *_: object) -> None:
        _current.reset(self._token)

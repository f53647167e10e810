"""The end of a run that a pool process still owes the ledger: it travels with the claim of the next run, in one round trip.

Only while messages come one upon the other: the process tells its parent first that it is free, and reads the next message while
the parent settles the last one. When none comes at once, the end is written by itself. What a crash takes along of it is done
again, as in the batched lane: the run's lease ends, and the reaper finds it.
"""

from __future__ import annotations

import logging
import select
import time
from collections.abc import Callable
from typing import Any

from celery.concurrency import asynpool

from backbeat.core.message import group_of
from backbeat.runtime import registry
from backbeat.runtime.identity import INCARNATION
from backbeat.runtime.insist import insist
from backbeat.runtime.working import undisturbed
from backbeat.store.ledger import Ending, Ledger

log = logging.getLogger("backbeat.worker")

KEEP_BACK = 0.008
"""Seconds for which an end may wait for the next message, and within which the last one must have come."""
FINISH_PATIENCE = 3600.0
"""Seconds for which a finished attempt waits for Redis: the work is done, and nobody else can be told meanwhile."""


class Owed:
    """What this pool process owes. Everywhere else nothing is ever owed."""

    def __init__(self) -> None:
        self.ending: Ending | None = None
        self.busy = False
        """Whether messages come so fast that the next one will be here in a moment."""
        self._ledger: Ledger | None = None
        self._unsure = False

    def owe(self, ledger: Ledger, ending: Ending) -> None:
        """Write this end together with the next claim. Only when `busy`, and nothing else is owed."""
        self._ledger, self.ending, self._unsure = ledger, ending, False

    def doubt(self) -> None:
        """An answer was lost: the end may be written by now."""
        self._unsure = True

    def paid(self, won: bool) -> None:
        """The end is written, or was refused."""
        ending, self.ending = self.ending, None
        if ending is not None and not won and not self._unsure:
            log.warning("run %s: attempt %d was taken over; its outcome is dropped", ending.run_id, ending.attempt)

    def settle(self) -> None:
        """Write what is owed by itself, however long Redis is away."""
        ending, ledger = self.ending, self._ledger
        if ending is not None and ledger is not None:
            with undisturbed():
                self.paid(bool(insist(lambda: ledger.finish_many(INCARNATION, [ending]), FINISH_PATIENCE, self.doubt)))


owed = Owed()


class OwingWorker(asynpool.Worker):  # type: ignore[misc]  # Celery is untyped
    """Celery's pool process, which pays before it rests, and before it does what makes no claim."""

    def _ensure_messages_consumed(self, *args: Any, **kwargs: Any) -> Any:
        # The last thing that billiard does in the process, and it may take half a minute.
        owed.busy = False
        owed.settle()
        return super()._ensure_messages_consumed(*args, **kwargs)

    def _make_child_methods(self, *args: Any, **kwargs: Any) -> None:
        super()._make_child_methods(*args, **kwargs)
        self.wait_for_job: Callable[[], Any] = _paying(self.wait_for_job, self.inq._reader.fileno())  # noqa: SLF001 - billiard's own way


def _paying(receive: Callable[[], Any], pipe: int) -> Callable[[], Any]:
    poll = select.poll()
    poll.register(pipe, select.POLLIN)

    def wait_for_job() -> Any:
        began = time.monotonic()
        if owed.ending is not None and not poll.poll(KEEP_BACK * 1000):
            owed.settle()
        message = receive()
        owed.busy = time.monotonic() - began < KEEP_BACK
        if owed.ending is not None and not _claims_one(message):
            owed.settle()
        return message

    return wait_for_job


def _claims_one(message: Any) -> bool:
    """Whether a message to this process is for one run, whose claim is the first that will be asked of the ledger."""
    if not message:
        return False
    _, (_, _, _, (task, _, request, *_), _) = message
    job = registry.jobs.get(task)
    header = request.get("backbeat")
    return job is not None and job.dag is None and bool(header) and not group_of(header)

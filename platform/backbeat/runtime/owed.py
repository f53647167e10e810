"""The ends that a pool process still owes the ledger, or its answer to them.

Only while messages come one upon the other: the process tells its parent first that it is free, and reads the next message while
the parent settles the last one. The end of a run of its own travels with the claim of the next, in one round trip. The ends of
many runs of one message keep Redis at work for longer: they are sent at once, and the answer is heard after the next claim. When
no message comes soon, everything is settled before the process rests. What a crash takes along is done again: the run's lease
ends, and the reaper finds it.
"""

from __future__ import annotations

import logging
import select
import time
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from typing import Any, NamedTuple

from celery.concurrency import asynpool
from redis.exceptions import ResponseError

from backbeat.core.message import group_of
from backbeat.runtime import registry
from backbeat.runtime.identity import INCARNATION
from backbeat.runtime.insist import OUTAGE, insist
from backbeat.runtime.working import undisturbed
from backbeat.store.ledger import Ending, Ledger

log = logging.getLogger("backbeat.worker")

KEEP_BACK = 0.008
"""Seconds for which an end may wait for the next message, and within which the last one must have come."""
FINISH_PATIENCE = 3600.0
"""Seconds for which a finished attempt waits for Redis: the work is done, and nobody else can be told meanwhile."""


class Sent(NamedTuple):
    """Ends that the ledger was told, and what waits for its answer; None when they could not be sent."""

    ledger: Ledger
    endings: Sequence[Ending]
    answer: Callable[[], set[str]] | None


class Owed:
    """What this pool process owes. Everywhere else nothing is ever owed."""

    def __init__(self) -> None:
        self.ending: Ending | None = None
        self.busy = False
        """Whether messages come so fast that the next one will be here in a moment."""
        self._ledger: Ledger | None = None
        self._unsure = False
        self._sent: Sent | None = None

    def __bool__(self) -> bool:
        return self.ending is not None or self._sent is not None

    @property
    def goes_with(self) -> str:
        """The claim that brings the end along, or after which the answer is heard: see `_claims`."""
        return "one" if self.ending is not None else "many"

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

    def send(self, ledger: Ledger, endings: Sequence[Ending]) -> None:
        """Tell these ends, and hear the answer after the next claim. Only when `busy`, and nothing else is owed."""
        answer = None
        with suppress(*OUTAGE):
            answer = ledger.finish_soon(INCARNATION, endings)
        self._sent = Sent(ledger, endings, answer)

    def hear(self) -> None:
        """Wait for the answer to what was sent. One that is lost, or an error, says nothing: the ends are told anew."""
        sent, self._sent = self._sent, None
        if sent is None:
            return
        with undisturbed():
            if sent.answer is not None:
                with suppress(*OUTAGE, ResponseError):
                    say_dropped(sent.endings, sent.answer())
                    return
            finished(sent.ledger, sent.endings, unsure=sent.answer is not None)

    def settle(self) -> None:
        """Write what is owed by itself, however long Redis is away."""
        self.hear()
        ending, ledger = self.ending, self._ledger
        if ending is not None and ledger is not None:
            with undisturbed():
                self.paid(bool(insist(lambda: ledger.finish_many(INCARNATION, [ending]), FINISH_PATIENCE, self.doubt)))


owed = Owed()


def finished(ledger: Ledger, endings: Sequence[Ending], *, unsure: bool = False) -> None:
    """Tell the ledger several ends, however long Redis is away. With `unsure` it may know them already."""
    lost_answers = [unsure]
    with undisturbed():
        won = insist(lambda: ledger.finish_many(INCARNATION, endings), FINISH_PATIENCE, lambda: lost_answers.append(True))
    if not any(lost_answers):
        say_dropped(endings, won)


def say_dropped(endings: Sequence[Ending], won: AbstractSet[str]) -> None:
    """Name those that were not ours to end any more."""
    if len(won) < len(endings):
        lost = sorted({one.run_id for one in endings} - won)
        log.warning("attempts of %d runs were taken over; their outcomes are dropped: %s", len(lost), ", ".join(lost[:5]))


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
        if owed and not poll.poll(KEEP_BACK * 1000):
            owed.settle()
        message = receive()
        owed.busy = time.monotonic() - began < KEEP_BACK
        if owed and _claims(message) != owed.goes_with:
            owed.settle()
        return message

    return wait_for_job


def _claims(message: Any) -> str:
    """What a message to this process will ask of the ledger first: to claim `one` run, `many`, or something else."""
    if not message:
        return ""
    _, (_, _, _, (task, _, request, *_), _) = message
    job = registry.jobs.get(task)
    header = request.get("backbeat")
    if job is None or not header:
        return ""
    if group_of(header):
        return "many"
    return "" if job.dag is not None else "one"

"""Several runs that came in one message: claimed together, worked on one after the other, ended together.

Each is a run like any other, with its own outcome, retry and history; only the way to the ledger is shared.
"""

from __future__ import annotations

import json
import logging
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from celery.exceptions import Ignore, Reject
from kombu.utils import json as celery_json

from backbeat.conf import settings
from backbeat.core.state import RunState
from backbeat.runtime.alarm import alarm
from backbeat.runtime.attempt import REJECTED_DELAY, Attempt, refuse_newer, retry_in, turned_away
from backbeat.runtime.claims import claimed_together, put_off
from backbeat.runtime.hands import Hand, Why, closing
from backbeat.runtime.hiding import hidden
from backbeat.runtime.identity import INCARNATION
from backbeat.runtime.insist import insist
from backbeat.runtime.outcome import Outcome, given_back
from backbeat.runtime.owed import FINISH_PATIENCE, finished, owed
from backbeat.runtime.place import Stop, here
from backbeat.runtime.second_gate import TurnedAway
from backbeat.runtime.working import Result, undisturbed, was_killed, work_through
from backbeat.store.ledger import Ending
from backbeat.store.store import open_store

log = logging.getLogger("backbeat.worker")

KEEP_BACK = 0.01
"""Seconds for which the end of a run may wait for the next ones. What a crash takes along of it is done again."""
LOOK_EVERY = 1.0
"""Seconds between two looks whether the runs that wait for their turn are still ours, and still wanted."""


def execute_group(task: Any, run_ids: Sequence[str]) -> dict[str, int]:
    """Do the runs of one message; what Celery is told is how many succeeded. Raises Ignore when none of them was to be won."""
    if closing.is_set():
        raise Reject("the worker shuts down", requeue=True)
    store = open_store()
    claims = claimed_together(store, task.request, run_ids)
    attempts: deque[Attempt] = deque()
    slot = store.slots.of(run_ids[0]).slot
    header = getattr(task.request, "backbeat", {})
    for run_id, claim in claims.items():
        try:
            refuse_newer(header)
            attempts.append(Attempt(store, run_id, claim, slot))
        except Exception as error:  # noqa: BLE001 - whatever this worker can't read, another one may
            put_off(store, run_id, claim, error)
    if not attempts:
        raise Ignore
    return Group(task, attempts).work()


class Group:
    """The attempts of one message. `work` does them in order."""

    def __init__(self, task: Any, attempts: deque[Attempt]) -> None:
        self._task = task
        self._waiting = attempts
        self._store = attempts[0].store
        self._who = attempts[0].fields["who"]
        self._ended: list[Ending] = []
        self._flushed_at = self._looked_at = time.monotonic()
        self._place = here()
        self._told = {"runs": len(attempts), "succeeded": 0}

    def work(self) -> dict[str, int]:
        """Do all of them, unless the worker ends before: then the rest goes back, and each run comes again by itself."""
        try:
            while self._waiting and not closing.is_set():
                self._look()
                if self._waiting:
                    self._one(self._waiting.popleft())
        except Ignore:
            log.info("%d runs that wait behind it go back", len(self._waiting))
        finally:
            self._flush_last()
            while self._waiting:
                self._waiting.popleft().release(given_back(Why.CLOSING))
        return self._told

    def _one(self, attempt: Attempt) -> None:
        args, kwargs = _arguments(attempt.fields["x"])
        # Not Celery's own call, for what it does once a message: the request in force is the message's.
        work = attempt.node.doing(self._task.run) if attempt.node else self._task.run
        hard, soft = attempt.template.timeout, attempt.template.soft_timeout
        begun = attempt.begun(args, kwargs)
        kept = begun.kept
        with begun, Hand(attempt, kept, soft, hard, self._place) as hand:
            try:
                with alarm(hand, soft, hard):
                    done = attempt.gate(lambda: work_through(hand, work, args, kwargs))
            except TurnedAway as away:
                turned_away(attempt, away, kept.text)
                return
            except Stop:
                self._stopped(hand)
                return
            except SystemExit:
                self._killed(attempt, kept.text)
                raise
        if not hand.over():
            self._seized(hand)
            return
        self._end(attempt, hidden(begun.run, done), kept.text)

    def _end(self, attempt: Attempt, done: Result, log_text: str) -> None:
        if isinstance(done.error, Reject) and done.error.requeue:
            attempt.release(done.outcome, log_text, REJECTED_DELAY)
            return
        self._told["succeeded"] += done.outcome.state is RunState.SUCCEEDED
        if attempt.node:
            # Others wait for it, and for what it returned.
            attempt.finish(done.outcome, retry_in(attempt, done), log_text)
            return
        self._note(attempt, done.outcome, log_text, retry_in(attempt, done))
        if time.monotonic() >= self._flushed_at + KEEP_BACK:
            self._flush()

    def _note(self, attempt: Attempt, outcome: Outcome, log_text: str, delay: float | None = None) -> None:
        self._ended.append(attempt.ending(outcome, log_text, delay))

    def _flush(self) -> None:
        """Tell the ledger what has ended since the last time."""
        with undisturbed():
            if self._ended:
                finished(self._store.ledger, self._ended)
            self._ended = []
        self._flushed_at = time.monotonic()

    def _flush_last(self) -> None:
        """The same when nothing follows: a busy process need not wait for the answer here, unless it is about to end."""
        with undisturbed():
            if self._ended and owed.busy and not was_killed():
                owed.send(self._store.ledger, self._ended)
                self._ended = []
        self._flush()

    def _look(self) -> None:
        """Renew the leases of the runs that wait, and let go of those that are not ours any more, or that nobody wants."""
        now = time.monotonic()
        if now < self._looked_at + LOOK_EVERY:
            return
        self._looked_at = now
        ids = [one.run_id for one in self._waiting]
        renew = lambda: self._store.ledger.renew(INCARNATION, ids, settings().run_lease, self._who)  # noqa: E731 - a name for what is repeated
        held, cancelled = insist(renew, FINISH_PATIENCE)
        for attempt in self._waiting:
            if attempt.run_id in cancelled:
                self._note(attempt, Outcome(RunState.CANCELLED), "")
        self._waiting = deque(one for one in self._waiting if one.run_id in held - cancelled)

    def _stopped(self, hand: Hand) -> None:
        """The work of one run was ended from outside; Ignore when the rest can't go on either."""
        attempt, text = hand.attempt, hand.kept.text
        if not hand.over():
            self._seized(hand)
            return
        # Whoever stopped this one may have something to say of the others.
        self._looked_at = 0.0
        log.info("run %s: attempt %d was stopped: %s", attempt.run_id, attempt.number, hand.why)
        if hand.why is Why.CANCEL:
            self._note(attempt, Outcome(RunState.CANCELLED), text)
        elif hand.why in (Why.CLOSING, Why.OUTAGE):
            attempt.release(given_back(hand.why), text)
            raise Ignore

    def _seized(self, hand: Hand) -> None:
        """Its end was written without it, and the runs that wait behind it are given back by the same hand (runtime/watch.py)."""
        log.info("run %s: attempt %d came to its end too late: %s", hand.attempt.run_id, hand.attempt.number, hand.why)
        self._waiting.clear()

    def _killed(self, attempt: Attempt, log_text: str) -> None:
        """The parent ends this process, for one run of the group or for all: only we know which one was at work."""
        if self._store.ledger.get(attempt.run_id).get("cancel"):
            self._note(attempt, Outcome(RunState.CANCELLED), log_text)
        else:
            attempt.release(given_back(Why.CLOSING), log_text)


# Without looks for blanks before and behind: the text is ours.
_decode = json.JSONDecoder().raw_decode


def _arguments(text: str) -> tuple[list[Any], dict[str, Any]]:
    """As a message's body would have brought them: Celery marks dates and the like, and reads them back."""
    args, kwargs = celery_json.loads(text) if '"__type__"' in text else _decode(text)[0]
    return args, kwargs

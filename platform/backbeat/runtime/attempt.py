"""One attempt at a run, inside the worker's process: claim it, work, end it."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from celery.exceptions import Ignore, Reject, Retry

from backbeat.conf import settings
from backbeat.core.message import VERSION, dumps
from backbeat.core.retry import next_delay
from backbeat.core.state import RunState
from backbeat.core.template import Template
from backbeat.core.when import from_ms
from backbeat.errors import NewerMessage
from backbeat.runtime import going_on
from backbeat.runtime.canvas import canvas_in, is_node, let_go
from backbeat.runtime.claims import claimed, foreign_fields, put_off, refuse
from backbeat.runtime.context import CurrentRun, running
from backbeat.runtime.dag_node import DagNode
from backbeat.runtime.hands import Hand, Why, closing
from backbeat.runtime.hiding import hidden
from backbeat.runtime.identity import INCARNATION
from backbeat.runtime.insist import insist
from backbeat.runtime.logs import AttemptLog
from backbeat.runtime.outcome import NOTHING, Outcome, cause, given_back
from backbeat.runtime.owed import FINISH_PATIENCE, owed
from backbeat.runtime.place import Stop
from backbeat.runtime.redeliver import message_of
from backbeat.runtime.second_gate import TurnedAway, second_gate
from backbeat.runtime.working import Result, undisturbed, was_killed, work_through
from backbeat.store.ledger import Claim, Ending, Offer
from backbeat.store.store import Store, open_store

log = logging.getLogger("backbeat.worker")

_NOTHING = dumps(NOTHING.data())
REJECTED_DELAY = 1.0
"""Seconds until a run is tried again whose task asked Celery to give its message back."""


class Attempt:
    """What is known of an attempt once its claim was won."""

    __slots__ = ("_begun_at", "fields", "gate", "node", "number", "run_id", "store", "template")

    def __init__(self, store: Store, run_id: str, claim: Claim, slot: int) -> None:
        self.store = store
        self.run_id = run_id
        self.fields = claim.fields
        self.number = claim.attempt
        self._begun_at = time.monotonic()
        self.template = store.index.template(slot, claim.fields["tid"]) or Template(claim.fields["j"])
        self.node = DagNode(store, claim.fields) if "d" in claim.fields else None
        self.gate = second_gate(self, claim.fields)

    @property
    def tries(self) -> int:
        """Which try of the job's own this is: attempts that a worker lost or gave back say nothing against the job."""
        return tries_of(self.fields)

    def context(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> CurrentRun:
        """What the job sees as `current_run()`."""
        nominal = self.fields.get("n")
        return CurrentRun(
            id=self.run_id,
            job=self.fields["j"],
            attempt=self.number,
            nominal=_moment(nominal) if nominal else None,
            fence=self.number,
            args=args,
            kwargs=kwargs,
            on_heartbeat=self._renew,
            on_progress=self._progress,
        )

    def _renew(self) -> None:
        self.store.ledger.renew(INCARNATION, [self.run_id], settings().run_lease)

    def _progress(self, fraction: float, text: str) -> None:
        self.store.ledger.progress(self.run_id, INCARNATION, self.number, fraction, text)

    def begun(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Begun:
        """Make this attempt what the code inside is part of."""
        return Begun(self.context(args, kwargs))

    def finish(self, outcome: Outcome, retry_in: float | None, log_text: str) -> bool:
        """End the attempt, however long Redis is away; True when it was still ours to end."""
        unsure: list[bool] = []
        output, offer = self.node.output if self.node else "", self._offer(outcome)
        write = lambda: self.store.ledger.finish_node(  # noqa: E731 - a name for what is repeated
            self.run_id, INCARNATION, self.number, outcome.state, outcome.data(log_text), retry_in, output,
            self.fields.get("w", ""), offer,
        )  # fmt: skip
        with undisturbed():
            ended = insist(write, FINISH_PATIENCE, lambda: unsure.append(True))
            if self.node:
                going_on.won(ended.following)
        if ended.more and self.node:
            self.node.advance()
        # A write whose answer was lost may have happened: then the second one finds the run gone, by our own hand.
        return ended.won or (bool(unsure) and not self.store.ledger.get(self.run_id))

    def _offer(self, outcome: Outcome) -> Offer | None:
        if self.node is None or outcome.state is not RunState.SUCCEEDED:
            return None
        return going_on.offer(self.fields["j"], time.monotonic() - self._begun_at)

    def ending(self, outcome: Outcome, log_text: str, retry_in: float | None = None) -> Ending:
        """The same end, to be told together with others."""
        return Ending(self.run_id, self.number, outcome.state, told(outcome, log_text), retry_in)

    def release(self, outcome: Outcome, log_text: str = "", delay: float = 0.0, at_least: int = 0) -> bool:
        """Give the run back, for another attempt at once or after `delay` seconds; True when it was still ours.

        The number of that attempt will be above `at_least`.
        """
        message = "" if delay else message_of(self.store, self.run_id, self.fields)
        data = outcome.data(log_text)
        # Without its policies no message can be built: then the reaper shall find it, and say so.
        delay = delay if message is not None else 0.001
        give = lambda: self.store.ledger.release(  # noqa: E731
            self.run_id, INCARNATION, self.number, data, message or "", delay, at_least
        )
        return insist(give, FINISH_PATIENCE) > 0

    def retry_delay(self, outcome: Outcome) -> float | None:
        """Seconds until the next attempt by the job's policy, or None when there is none."""
        return delay_by_policy(self.template, self.tries, outcome)


class Begun(running):
    """The code inside is part of an attempt; what it logs is `kept`, without its secrets."""

    __slots__ = ("kept",)

    def __init__(self, run: CurrentRun) -> None:
        super().__init__(run)
        self.kept = AttemptLog(settings().log_limit)
        run.on_log = self.kept.begin

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self.kept.close()


@lru_cache(maxsize=64)
def _moment(nominal: str) -> datetime:
    """Runs of one message often have one."""
    return from_ms(int(nominal))


def told(outcome: Outcome, log_text: str) -> str:
    """What the event of an end tells, as JSON text."""
    return _NOTHING if outcome is NOTHING and not log_text else dumps(outcome.data(log_text))


def tries_of(fields: Mapping[str, str]) -> int:
    """How often a run's job itself was tried, this attempt included."""
    return int(fields.get("a", 0)) - int(fields.get("l", 0)) - int(fields.get("b", 0))


def delay_by_policy(template: Template, tries: int, outcome: Outcome) -> float | None:
    """Seconds until the next attempt by the job's policy, or None when there is none."""
    policy = template.retry
    if outcome.state is RunState.SUCCEEDED or not policy.wants(outcome.bases):
        return None
    # The spread keeps a herd apart; it protects nothing.
    return next_delay(policy, tries, random.random())  # noqa: S311


def execute(task: Any, args: Sequence[Any], kwargs: Mapping[str, Any], work: Callable[..., Any]) -> Any:
    """Run one message's work under the ledger and return its value to Celery.

    Raises Ignore for a message that is a duplicate or whose attempt was taken over, Retry for one that will be tried
    again, and the job's own error for one that failed for good, so that Celery, its canvas and Flower see the same.
    """
    if closing.is_set() and not going_on.holds(task.request.id):
        raise Reject("the worker shuts down", requeue=True)
    attempt = _begin(task, args, kwargs)
    begun = attempt.begun(args, kwargs)
    kept = begun.kept
    with begun:
        hard, soft = _limits(task, attempt.template)
        with Hand(attempt, kept, soft, hard) as hand:
            try:
                doing = attempt.node.doing(work) if attempt.node else work
                done = attempt.gate(lambda: work_through(hand, doing, args, kwargs))
            except TurnedAway as away:
                turned_away(attempt, away, kept.text)
                raise Ignore from None
            except Stop:
                _stopped(task, hand)
                raise Ignore from None
            except SystemExit:
                # The parent ends what it has killed; only we know what was logged.
                if was_killed() and attempt.store.ledger.get(attempt.run_id).get("cancel"):
                    attempt.finish(Outcome(RunState.CANCELLED), None, kept.text)
                raise
    return _end(task, attempt, hidden(begun.run, done), kept.text)


def _begin(task: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Attempt:
    store, request, stock = open_store(), task.request, None
    ours = getattr(request, "backbeat", None)
    if not ours:
        try:
            stock = foreign_fields(store, task.name, request, args, kwargs)
        except (TypeError, ValueError, RecursionError) as error:
            refuse(request, error)
            raise
    claim = going_on.claim_of(request.id) or claimed(store, request, stock)
    try:
        refuse_newer(ours or {})
        return Attempt(store, request.id, claim, store.slots.of(request.id).slot)
    except Exception as error:
        put_off(store, request.id, claim, error)
        raise Ignore from error


def refuse_newer(header: Mapping[str, Any]) -> None:
    """Raise NewerMessage for a message whose meaning this worker can't know."""
    version = int(header.get("v", 1))
    if version > VERSION:
        raise NewerMessage(f"its message has version {version}; this worker reads versions up to {VERSION}. Update it.")


def _limits(task: Any, template: Template) -> tuple[float | None, float | None]:
    hard, soft = task.request.timelimit or (None, None)
    return hard or template.timeout, soft or template.soft_timeout


def _end(task: Any, attempt: Attempt, done: Result, log_text: str) -> Any:
    error, outcome = done.error, done.outcome
    if isinstance(error, Reject) and error.requeue:
        attempt.release(outcome, log_text, REJECTED_DELAY)
        raise Ignore
    if _may_wait(task.request, attempt, error):
        owed.owe(attempt.store.ledger, attempt.ending(outcome, log_text))
        return done.value
    delay = retry_in(attempt, done)
    if not attempt.finish(outcome, delay, log_text):
        log.warning("run %s: attempt %d was taken over; its outcome is dropped", attempt.run_id, attempt.number)
        raise Ignore
    if error is None:
        # Canvas would hand the value on, in every part of a chord; children get it from the ledger.
        return None if is_node(task.request) else done.value
    if attempt.node:
        let_go(task.request)
    if delay is not None:
        raise Retry(exc=cause(error), when=delay)
    raise done.for_celery


def _may_wait(request: Any, attempt: Attempt, error: BaseException | None) -> bool:
    """Whether nobody waits for this end: no result that Celery would tell of, no child in a graph or in canvas."""
    return owed.busy and error is None and attempt.node is None and bool(request.ignore_result) and not canvas_in(request)


def retry_in(attempt: Attempt, done: Result) -> float | None:
    """Seconds until the next attempt, as the job asked for itself or by its policy; None when this one was the last."""
    error = done.error
    if error is None:
        return None
    if isinstance(error, Retry) and isinstance(error.when, (int, float)):
        return float(error.when)
    return attempt.retry_delay(done.outcome)


def turned_away(attempt: Attempt, away: TurnedAway, log_text: str) -> None:
    """Give a run back whose attempt the database did not let in."""
    log.warning("run %s: attempt %d goes back for %g s: %s", attempt.run_id, attempt.number, away.delay, away)
    attempt.release(given_back(str(away)), log_text, away.delay, away.at_least)


def _stopped(task: Any, hand: Hand) -> None:
    """The work was ended from outside; what that means depends on why."""
    attempt, request = hand.attempt, task.request
    log.info("run %s: attempt %d was stopped: %s", attempt.run_id, attempt.number, hand.why)
    if hand.ended:
        return
    if attempt.node:
        let_go(request)
    if hand.why is Why.CANCEL:
        attempt.finish(Outcome(RunState.CANCELLED), None, hand.kept.text)
        task.backend.mark_as_revoked(request.id, "cancelled", request=request, store_result=not request.ignore_result)
    elif hand.why in (Why.CLOSING, Why.OUTAGE):
        attempt.release(given_back(hand.why), hand.kept.text)

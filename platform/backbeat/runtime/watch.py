"""Deadlines of runs that no pool watches, stops that take too long, and the end of the worker itself."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from typing import Any

from billiard.exceptions import TimeLimitExceeded

from backbeat.runtime import settling
from backbeat.runtime.hands import Hand, Why, closing, hands, stirred
from backbeat.runtime.memory import LOOK_EVERY
from backbeat.runtime.request import JobRequest, requests

log = logging.getLogger("backbeat.worker")

STOP_GRACE = 3.0
"""Seconds from the soft stop of a run to its hard end."""
STEP = 0.1
"""Seconds between two looks while something is under way."""


class Watch:
    """Looks after everything that this worker does. Its steps belong to one thread."""

    def __init__(self, pool: Any, grace: float, leave: Callable[[int], object] = os._exit) -> None:
        self._pool = pool
        self._grace = grace
        self._leave = leave
        self._closing_at: float | None = None
        self._exit_code = 0

    def close(self, exit_code: int) -> None:
        """The worker begins to shut down: what is not done within the grace is given back."""
        if self._closing_at is None:
            self._closing_at, self._exit_code = time.monotonic(), exit_code or 0
            closing.set()
            stirred.set()

    def stop(self, run_id: str, why: Why) -> None:
        """Stop a run, wherever in this worker it is."""
        for request in requests():
            if run_id in request.run_ids:
                request.stop_run(self._pool, run_id, why)
        stirred.set()

    def step(self) -> float:
        """Look once; the seconds until something may be due again."""
        now = time.monotonic()
        for hand in hands():
            if not hand.ended:
                self._look_at(hand, now)
        if self._closing_at is not None and now >= self._closing_at + self._grace:
            self._end_all()
        stopping = [request for request in requests() if request.why not in (None, Why.OUTAGE)]
        for request in stopping:
            if now >= request.stopped_at + STOP_GRACE:
                request.kill(self._pool)
        watched = [request.look(self._pool) for request in requests()]
        return min(self._next(now, bool(stopping)), LOOK_EVERY if any(watched) else float("inf"))

    def resume(self, held: set[str]) -> None:
        """Redis is back. What was stopped for its absence and outlived that may go on where it is still ours."""
        for request in requests():
            if request.why is Why.OUTAGE:
                request.why = None
                if held.isdisjoint(request.run_ids):
                    request.stop(self._pool, Why.TAKEN)

    def _next(self, now: float, stopping: bool) -> float:
        at_work = [hand for hand in hands() if not hand.ended]
        if stopping or any(hand.why for hand in at_work):
            return STEP
        moments = [at for hand in at_work for at in (hand.soft_at, hand.hard_at) if at is not None]
        if self._closing_at is not None:
            moments.append(self._closing_at + self._grace)
        return max(STEP, min(moments) - now) if moments else float("inf")

    def _look_at(self, hand: Hand, now: float) -> None:
        if hand.hard_at is not None and now >= hand.hard_at:
            self._time_out(hand)
        elif hand.why is not None and now >= hand.stopped_at + STOP_GRACE:
            self._give_up(hand)
        elif hand.soft_at is not None and now >= hand.soft_at:
            log.warning("run %s: its soft time limit is over", hand.attempt.run_id)
            hand.soften()

    def _time_out(self, hand: Hand) -> None:
        run_id, error = hand.attempt.run_id, TimeLimitExceeded(hand.hard)
        if not hand.seize():
            return
        log.warning("run %s: attempt %d is over its hard time limit (%g s)", run_id, hand.attempt.number, hand.hard)
        _, retry_in = settling.timed_out(run_id, settling.by_number(hand.attempt.number), error, hand.kept.text)
        self._free_the_others(hand)
        hand.stop(Why.TIMEOUT)
        if retry_in is None:
            self._tell_failure(run_id, error)

    def _give_up(self, hand: Hand) -> None:
        """The code can't be made to end: end its attempt without it, so that nothing waits for it."""
        mine, run_id, text = settling.by_number(hand.attempt.number), hand.attempt.run_id, hand.kept.text
        if not hand.seize():
            return
        if hand.why is Why.CANCEL:
            settling.cancelled(run_id, mine, text)
        elif hand.why in (Why.CLOSING, Why.OUTAGE):
            settling.released(run_id, mine, hand.why, text)
        self._free_the_others(hand)
        log.warning("run %s: attempt %d can't be interrupted; it is over, but keeps its slot", run_id, hand.attempt.number)

    def _free_the_others(self, hand: Hand) -> None:
        """Runs that came in one message with code that may never end need not wait for it."""
        who = hand.attempt.fields.get("who")
        for request in requests():
            if hand.attempt.run_id in request.group:
                for run_id in request.group:
                    if run_id != hand.attempt.run_id:
                        settling.released(run_id, lambda run: run.get("who") == who, Why.TIMEOUT)

    def _tell_failure(self, run_id: str, error: Exception) -> None:
        for request in requests():
            if request.id == run_id:
                context, store = request._context, request.store_errors  # noqa: SLF001 - Celery's own way, from outside
                request.task.backend.mark_as_failure(run_id, error, request=context, store_result=store)

    def _end_all(self) -> None:
        for request in requests():
            request.stop(self._pool, Why.CLOSING)
        stuck = hands()
        if stuck and not JobRequest.processes and all(hand.ended for hand in stuck):
            # Nothing of ours is left but code that can't be interrupted; waiting for it would use up our own grace.
            log.warning("leaving %d runs behind that can't be interrupted; they are given back", len(stuck))
            logging.shutdown()
            self._leave(self._exit_code)

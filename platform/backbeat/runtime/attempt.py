"""One attempt at a run, inside the worker's process: claim it, work, finish it."""

from __future__ import annotations

import itertools
import logging
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from celery.exceptions import Ignore, Reject, Retry, SoftTimeLimitExceeded

from backbeat.conf import settings
from backbeat.core.message import arguments_of
from backbeat.core.retry import next_delay
from backbeat.core.state import RunState
from backbeat.core.template import Template
from backbeat.core.when import from_ms
from backbeat.runtime.context import CurrentRun, running
from backbeat.runtime.dag_node import DagNode
from backbeat.runtime.identity import INCARNATION
from backbeat.runtime.insist import OUTAGE, insist
from backbeat.runtime.logs import captured
from backbeat.runtime.outcome import Outcome, failed, succeeded
from backbeat.store.ledger import Claim
from backbeat.store.store import Store, open_store

log = logging.getLogger("backbeat.worker")

CLAIM_PATIENCE = 5.0
"""Seconds for which a worker waits for Redis before it gives a message back."""
FINISH_PATIENCE = 3600.0
"""Seconds for which a finished attempt waits for Redis: the work is done, and nobody else can be told meanwhile."""


_claims = itertools.count(1)


class Attempt:
    """What is known of an attempt once its claim was won."""

    def __init__(self, store: Store, run_id: str, claim: Claim) -> None:
        self.store = store
        self.run_id = run_id
        self.fields = claim.fields
        self.number = claim.attempt
        self.template = store.index.template(store.slots.of(run_id).slot, claim.fields["tid"]) or Template(claim.fields["j"])
        self.node = DagNode(store, run_id, claim.fields) if "d" in claim.fields else None

    @property
    def tries(self) -> int:
        """Which try of the job's own this is: attempts that a worker lost or gave back say nothing against the job."""
        return self.number - int(self.fields.get("l", 0)) - int(self.fields.get("b", 0))

    def context(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> CurrentRun:
        """What the job sees as `current_run()`."""
        nominal = self.fields.get("n")
        return CurrentRun(
            id=self.run_id,
            job=self.fields["j"],
            attempt=self.number,
            nominal=from_ms(int(nominal)) if nominal else None,
            fence=self.number,
            args=args,
            kwargs=kwargs,
            on_heartbeat=lambda: self.store.ledger.renew(INCARNATION, [self.run_id], settings().run_lease),
        )

    def finish(self, outcome: Outcome, retry_in: float | None, log_text: str) -> bool:
        """End the attempt, however long Redis is away; True when it was still ours to end."""
        unsure: list[bool] = []
        output = self.node.output if self.node else ""
        write = lambda: self.store.ledger.finish_node(  # noqa: E731 - a name for what is repeated
            self.run_id, INCARNATION, self.number, outcome.state, outcome.data(log_text), retry_in, output
        )
        won, more = insist(write, FINISH_PATIENCE, lambda: unsure.append(True))
        if more and self.node:
            self.node.advance()
        # A write whose answer was lost may have happened: then the second one finds the run gone, by our own hand.
        return won or (bool(unsure) and not self.store.ledger.get(self.run_id))

    def retry_delay(self, outcome: Outcome) -> float | None:
        """Seconds until the next attempt by the job's policy, or None when there is none."""
        policy = self.template.retry
        if outcome.state is RunState.SUCCEEDED or not policy.wants(outcome.bases):
            return None
        # The spread keeps a herd apart; it protects nothing.
        return next_delay(policy, self.tries, random.random())  # noqa: S311


def execute(task: Any, args: Sequence[Any], kwargs: Mapping[str, Any], work: Callable[..., Any]) -> Any:
    """Run one message's work under the ledger and return its value to Celery.

    Raises Ignore for a message that is a duplicate or whose attempt was taken over, Retry for one that will be tried
    again, and the job's own error for one that failed for good, so that Celery, its canvas and Flower see the same.
    """
    store = open_store()
    attempt = Attempt(store, task.request.id, _claimed(store, task, args, kwargs))
    with captured(settings().log_limit) as kept, running(attempt.context(args, kwargs)) as run:
        run.log.addHandler(kept)
        value, error, outcome = _work(attempt.node.doing(work) if attempt.node else work, args, kwargs)
    countdown = error.when if isinstance(error, Retry) and isinstance(error.when, (int, float)) else None
    retry_in = float(countdown) if countdown is not None else attempt.retry_delay(outcome)
    if not attempt.finish(outcome, retry_in, kept.text):
        log.warning("run %s: attempt %d was taken over; its outcome is dropped", attempt.run_id, attempt.number)
        raise Ignore
    if error is None:
        return value
    if retry_in is not None:
        raise Retry(exc=_cause(error), when=retry_in)
    raise _cause(error)


def _claimed(store: Store, task: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Claim:
    request, conf = task.request, settings()
    stock = None if getattr(request, "backbeat", None) else _stock_fields(store, task, args, kwargs)
    who, worker = f"{os.getpid()}.{next(_claims)}", request.hostname or ""
    ask = lambda: store.ledger.claim(request.id, INCARNATION, conf.run_lease, worker, stock, who=who)  # noqa: E731 - as above
    try:
        claim = insist(ask, CLAIM_PATIENCE)
    except OUTAGE as error:
        log.warning("run %s: Redis does not answer, the message goes back: %s", request.id, error)
        time.sleep(1)
        raise Reject(requeue=True) from error
    if not claim.won:
        log.info("run %s: message dropped, the run is %s", request.id, claim.verdict)
        raise Ignore
    return claim


def _stock_fields(store: Store, task: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, str]:
    """The run of a message that a stock producer sent: keyed by its task id, under the job's policies."""
    from backbeat.runtime.submit import template_of

    template = template_of(store, task.name)
    store.index.keep_template(task.request.id, template)
    queue = (task.request.delivery_info or {}).get("routing_key") or template.queue
    return {"j": task.name, "n": "", "q": queue, "tid": template.id, "x": arguments_of(args, kwargs), "ky": "1"}


def _work(work: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, BaseException | None, Outcome]:
    try:
        value = work(*args, **kwargs)
    except SoftTimeLimitExceeded as error:
        return None, error, failed(error, RunState.TIMED_OUT)
    except Retry as error:
        return None, error, failed(_cause(error))
    except Exception as error:  # noqa: BLE001 - a job may raise anything; the ledger must record it
        return None, error, failed(error)
    return value, None, succeeded(value, settings().result_limit)


def _cause(error: BaseException) -> BaseException:
    cause = getattr(error, "exc", None) if isinstance(error, Retry) else error
    return cause if isinstance(cause, BaseException) else error

"""Winning a run for a message, and giving it back when this worker can't do it."""

from __future__ import annotations

import itertools
import json
import logging
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

from celery.app.task import Context
from celery.exceptions import Ignore, Reject
from kombu.utils import json as celery_json

from backbeat.conf import settings
from backbeat.core.arguments import too_much
from backbeat.core.message import arguments_of, group_of
from backbeat.core.state import RunState
from backbeat.core.template import Template
from backbeat.errors import BadArguments, UnknownJob
from backbeat.runtime.canvas import canvas_in
from backbeat.runtime.gates import told
from backbeat.runtime.identity import INCARNATION
from backbeat.runtime.insist import OUTAGE, insist
from backbeat.runtime.outcome import failed
from backbeat.runtime.owed import owed
from backbeat.runtime.submit import template_of
from backbeat.store.ledger import Claim
from backbeat.store.store import Store, open_store

log = logging.getLogger("backbeat.worker")

CLAIM_PATIENCE = 5.0
"""Seconds for which a worker waits for Redis before it gives a message back."""
PUT_OFF_LIMIT = 10
"""How often a run waits for a worker that can do it; then it has failed. With these pauses about five minutes."""
LONGEST_PAUSE = 60.0

_claims = itertools.count(1)


def who_claims() -> str:
    """A name for one claim of this process: `<process id>.<number>`."""
    return f"{os.getpid()}.{next(_claims)}"


def claimed(store: Store, request: Any, stock: Mapping[str, str] | None) -> Claim:
    """The run of a message, won. Raises Ignore when the message is a duplicate, Reject when Redis is away."""
    who, worker, canvas = who_claims(), request.hostname or "", canvas_in(request)
    lease = settings().run_lease

    def write(gate: str) -> Claim:
        claim = store.ledger.claim(
            request.id, INCARNATION, lease, worker, stock, who=who, canvas=canvas, gate=gate, after=owed.ending
        )
        owed.paid(claim.ended)
        return claim

    def ask(gate: str = "") -> Claim:
        return insist(lambda: write(gate), CLAIM_PATIENCE, owed.doubt)

    try:
        claim = ask()
        if claim.verdict == "gated":
            claim = ask(told(store, request.id, claim.fields))
    except OUTAGE as error:
        log.warning("run %s: Redis does not answer, the message goes back: %s", request.id, error)
        time.sleep(1)
        raise Reject(requeue=True) from error
    if not claim.won:
        log.info("run %s: message dropped, the run is %s", request.id, claim.verdict)
        raise Ignore
    return claim


def claimed_together(store: Store, request: Any, run_ids: Sequence[str]) -> dict[str, Claim]:
    """Those runs of one message that were won. Raises Reject when Redis is away."""
    who, worker, lease = who_claims(), request.hostname or "", settings().run_lease
    try:
        won = insist(lambda: store.ledger.claim_many(run_ids, INCARNATION, lease, worker, who), CLAIM_PATIENCE)
    except OUTAGE as error:
        log.warning("%d runs: Redis does not answer, their message goes back: %s", len(run_ids), error)
        time.sleep(1)
        raise Reject(requeue=True) from error
    # What the last message came to was sent before this claim, so its answer is here.
    owed.hear()
    if len(won) < len(run_ids):
        log.info("%d of %d runs of one message dropped: they are not queued any more", len(run_ids) - len(won), len(run_ids))
    return won


def foreign_fields(store: Store, name: str, request: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, str]:
    """The run of a message that a stock producer sent: keyed by its task id, under the job's policies.

    Raises BadArguments, TypeError, ValueError or RecursionError for arguments that can't be kept.
    """
    try:
        template = template_of(store, name)
    except UnknownJob:
        template = Template(name)
    store.index.keep_template(request.id, template, name)
    queue = (request.delivery_info or {}).get("routing_key") or template.queue
    # As Celery itself writes them: it marks dates and the like, which it has read back into Python by now.
    text = arguments_of(*json.loads(celery_json.dumps([list(args), dict(kwargs)], allow_nan=False)))
    if reason := too_much(text):
        raise BadArguments("args", reason)
    wants = {} if request.ignore_result else {"res": "1"}
    return {"j": name, "n": "", "q": queue, "tid": template.id, "x": text, "ky": "1", **wants}


def request_of(message: Any, hostname: str) -> Context:
    """A message as its task would see it. Raises kombu's DecodeError, TypeError or ValueError for one that can't be read."""
    args, kwargs, embed = message.payload
    there = {"args": args, "kwargs": kwargs, "hostname": hostname, "delivery_info": message.delivery_info}
    return Context({**message.headers, **there, **(embed or {})})


def refuse(request: Context, error: Exception) -> None:
    """Fail the run of a foreign message whose arguments can't be kept. Raises as `claimed` does."""
    store = open_store()
    claim = claimed(store, request, foreign_fields(store, request.task, request, (), {}))
    log.warning("run %s: refused: %s", request.id, error)
    store.ledger.finish(request.id, INCARNATION, claim.attempt, RunState.FAILED, failed(error).data())


def leave_to_another(request: Context, error: Exception) -> None:
    """Put off the run of a message that this worker can't do. Raises as `claimed` does."""
    store = open_store()
    ours = getattr(request, "backbeat", None)
    if run_ids := group_of(ours):
        for run_id, claim in claimed_together(store, request, run_ids).items():
            put_off(store, run_id, claim, error)
        return
    stock = None if ours else foreign_fields(store, request.task, request, request.args, request.kwargs)
    put_off(store, request.id, claimed(store, request, stock), error)


def put_off(store: Store, run_id: str, claim: Claim, error: Exception) -> None:
    """Give a run back that this worker can't do, for another to try in a while; when none could, it has failed."""
    before, outcome = int(claim.fields.get("b", 0)), failed(error)
    if before >= PUT_OFF_LIMIT:
        log.error("run %s: no worker can do it: %s", run_id, error)
        store.ledger.finish(run_id, INCARNATION, claim.attempt, RunState.FAILED, outcome.data())
        return
    delay = min(2.0**before, LONGEST_PAUSE)
    log.warning("run %s: left to another worker, in %g s: %s", run_id, delay, error)
    store.ledger.release(run_id, INCARNATION, claim.attempt, outcome.data(), delay=delay)

"""Celery's remote command `revoke`, which reaches runs of which no worker has a message: in the ledger.

Celery's own is remembered by each worker until it ends, and minds the messages that come. A run may wait for a retry, a
limit or its parents, or be a node that a process goes on with by itself (runtime/going_on.py).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from celery.utils.functional import maybe_list
from celery.worker import control

from backbeat.core.state import RunState
from backbeat.runtime.insist import OUTAGE
from backbeat.store.store import open_store

log = logging.getLogger("backbeat.worker")

IDS = "[id1 [id2 [... [idN]]]]"


def take_over() -> None:
    """Let this process answer `revoke` and `terminate` by what stands here."""
    control.control_command(name="revoke", variadic="task_id", signature=IDS)(revoke)
    control.control_command(name="terminate", variadic="task_id", args=[("signal", str)], signature=f"<signal> {IDS}")(terminate)


def revoke(state: Any, task_id: Any, terminate: bool = False, signal: Any = None, **options: Any) -> Any:
    """Revoke task by task id (or list of ids)."""
    answer = control.revoke(state, task_id, terminate, signal, **options)
    _cancel(maybe_list(task_id) or [], at_work=terminate)
    return answer


def terminate(state: Any, signal: Any, task_id: Any, **options: Any) -> Any:
    """Terminate task by task id (or list of ids)."""
    return revoke(state, task_id, terminate=True, signal=signal, **options)


def _cancel(run_ids: Iterable[str], *, at_work: bool) -> None:
    # As with Celery's own, what has begun is only stopped by `terminate`.
    try:
        ledger = open_store().ledger
        for run_id, at in ledger.states(list(run_ids)).items():
            if at_work or at is not RunState.RUNNING:
                ledger.cancel(run_id, "revoked")
    except OUTAGE as error:
        log.warning("what was revoked is not cancelled, because Redis does not answer: %s", error)

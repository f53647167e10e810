"""What the worker's parent process does for a run whose child can't speak any more."""

from __future__ import annotations

import logging
import random
from typing import Any

from billiard.exceptions import Terminated, TimeLimitExceeded, WorkerLostError
from celery.worker.request import Request

from backbeat.core.retry import next_delay
from backbeat.core.state import RunState
from backbeat.runtime.identity import INCARNATION
from backbeat.runtime.insist import OUTAGE
from backbeat.runtime.outcome import failed
from backbeat.store.store import open_store

log = logging.getLogger("backbeat.worker")


class JobRequest(Request):  # type: ignore[misc]  # Celery is untyped
    """Celery's request, which also tells the ledger of timeouts, dead children and stopped runs."""

    def on_timeout(self, soft: bool, timeout: float) -> None:
        """The hard limit killed the child: the attempt ends as timed out."""
        if not soft:
            _end(self.id, RunState.TIMED_OUT, TimeLimitExceeded(timeout))
        super().on_timeout(soft, timeout)

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> Any:
        """The child died, or was stopped because somebody cancelled the run."""
        error = getattr(exc_info.exception, "exc", exc_info.exception)
        if isinstance(error, Terminated):
            _end(self.id, RunState.CANCELLED, error)
        elif isinstance(error, (WorkerLostError, SystemExit, KeyboardInterrupt)):
            _lose(self.id, self.worker_pid or 0, error)
        return super().on_failure(exc_info, send_failed_event, return_ok)


def _end(run_id: str, state: RunState, error: BaseException) -> None:
    """End the attempt that this worker holds; nothing when it is somebody else's by now."""
    store = open_store()
    try:
        fields = store.ledger.get(run_id)
        if fields.get("h") != INCARNATION:
            return
        template = store.index.template(store.slots.of(run_id).slot, fields["tid"])
        retry_in = None
        outcome = failed(error, state)
        if state is RunState.TIMED_OUT and template is not None and template.retry.wants(outcome.bases):
            retry_in = next_delay(template.retry, int(fields["a"]), random.random())  # noqa: S311 - it protects nothing
        store.ledger.finish(run_id, INCARNATION, int(fields["a"]), state, outcome.data(), retry_in)
    except OUTAGE:
        log.warning("run %s: Redis does not answer; the reaper will find it when its lease ends", run_id)


def _lose(run_id: str, process: int, error: BaseException) -> None:
    try:
        open_store().ledger.lose(run_id, INCARNATION, process, failed(error).data())
    except OUTAGE:
        log.warning("run %s: Redis does not answer; the reaper will find it when its lease ends", run_id)

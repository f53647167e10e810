"""Runs that are asked for through the database: kept there first, sent to the ledger afterwards."""

from __future__ import annotations

from backbeat.runtime.ports import Submission
from backbeat.runtime.submit import prepare
from backbeat.store.store import open_store


def send(asked: Submission) -> None:
    """Put the run into the ledger; sent twice, it is one run. Raises UnknownJob, StoreUnavailable and redis' errors."""
    store, delay = open_store(), asked.delay
    if asked.due is not None:
        delay = max(0.0, (asked.due - store.slots.now_ms()) / 1000)
    prepare(
        store,
        asked.job,
        asked.run_id,
        asked.arguments,
        delay=delay,
        priority=asked.priority,
        reason=asked.reason,
        facts={name: value for name, value in {"q": asked.queue, "res": "1" if asked.results else ""}.items() if value},
        policies=asked.policies,
        keyed=True,
        send=True,
    )

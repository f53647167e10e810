"""The History port on Django's database: ledger events in, rows of runs, attempts, omissions and DAG runs out.

Recording an event twice, late or out of order gives the same rows as recording it once and in order. What an event
can't be read from is logged and passed over: one strange event must never stop history.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from django.db import IntegrityError, close_old_connections, connections, transaction

from backbeat.admin import clock, months, snapshot
from backbeat.admin.copying import copy_text
from backbeat.admin.models import Attempt, DagRun, Deed, Omission, Run
from backbeat.admin.plain import ATTEMPT_COLUMNS, RUN_COLUMNS, Ready, events_of, ready
from backbeat.admin.upsert import Merge, Row
from backbeat.core.state import TRANSITIONS, RunState

if TYPE_CHECKING:
    from backbeat.runtime.ports import Ended, Event

log = logging.getLogger(__name__)

_LEAVABLE = {state for state, _move in TRANSITIONS}
# failed and timed_out may become retrying, so only the order of events tells whether they are the last word.
FINAL_RUNS = frozenset(state.value for state in RunState if state not in _LEAVABLE)
FINAL_ATTEMPTS = frozenset(state.value for state in RunState if state is not RunState.RUNNING)

RUNS = Merge(
    Run,
    {
        "run_id": "key",
        "job": "fill",
        "task": "fill",
        "schedule": "fill",
        "nominal": "fill",
        "effective": "fill",
        "state": "newest",
        "attempts": "most",
        "pool": "fill",
        "queue": "fill",
        "priority": "fill",
        "args": "fill",
        "kwargs": "fill",
        "worker": "fill",
        "queued_at": "least",
        "started_at": "least",
        "finished_at": "newest",
        "reason": "newest",
        "error_type": "newest",
        "error_message": "newest",
        "result": "newest",
        "dag_run": "fill",
        "node": "fill",
        "month": "month",
        "seen": "most",
    },
    final=FINAL_RUNS,
    reopened_by="attempts",
)
ATTEMPTS = Merge(
    Attempt,
    {
        "run_id": "key",
        "number": "key",
        "state": "newest",
        "worker": "fill",
        "started_at": "least",
        "finished_at": "newest",
        "error_type": "newest",
        "error_message": "newest",
        "traceback": "newest",
        "log": "fill",
        "month": "month",
        "seen": "most",
    },
    final=FINAL_ATTEMPTS,
)
OMISSIONS = Merge(
    Omission,
    {
        "job": "key",
        "schedule": "key",
        "reason": "key",
        "first": "key",
        "last": "most",
        "count": "most",
        "actor": "fill",
        "note": "fill",
    },
)
DAG_RUNS = Merge(
    DagRun,
    {
        "dag_run_id": "key",
        "dag": "fill",
        "version": "fill",
        "state": "newest",
        "nominal": "fill",
        "params": "fill",
        "graph": "fill",
        "summary": "fill",
        "reason": "newest",
        "queued_at": "least",
        "started_at": "least",
        "finished_at": "newest",
        "seen": "most",
    },
    # No state is final: a rerun opens a DAG run again, and `seen` alone keeps late events out.
)
DEEDS = Merge(
    Deed,
    {"event": "key", "run_id": "fill", "verb": "fill", "actor": "fill", "what": "fill", "reason": "fill", "at": "least"},
)
TABLES = (RUNS, ATTEMPTS, OMISSIONS, DAG_RUNS, DEEDS)


KEPT = 60.0
"""Seconds for which a connection serves one batch after another. For SQLite, closing the last one means writing all back."""


class DatabaseHistory:
    """Writes history to one of Django's databases. Safe to use from several processes at once."""

    def __init__(self, using: str = "default") -> None:
        self.using = using
        self._copies = connections[using].vendor == "postgresql"

    def ready(self, told: Sequence[Event | Ended]) -> Ready:
        """What can be worked out before the database is asked, in whatever thread."""
        return ready(told) if self._copies else Ready(told, events_of(told))

    def write(self, batch: Ready) -> None:
        """Store the events, all or none. Raises Django's OperationalError while the database is away."""
        self._connect()
        some_first = self._copies and (batch.runs or any(event.first for event in batch.others))
        if not some_first or not self._insert(batch):
            self._merge(batch.events)

    def record(self, told: Sequence[Event | Ended]) -> None:
        """Store all of it or nothing, in one go."""
        self.write(self.ready(told))

    def tidy(self, retention: float | None) -> int:
        """Make the months to come, and take away a bounded part of what is older than `retention`."""
        close_old_connections()
        now = clock.now()
        made = months.make_room(now, self.using)
        gone = months.prune(now - timedelta(seconds=retention), self.using) if retention else months.Pruned()
        return len(made) + len(gone.months) + gone.rows

    def _connect(self) -> None:
        """A connection that works, old or new."""
        connection = connections[self.using]
        connection.close_if_unusable_or_obsolete()
        if connection.connection is None:
            connection.ensure_connection()
            connection.close_at = time.monotonic() + KEPT

    def _insert(self, batch: Ready) -> bool:
        """Store all, taking runs that seem to be new for new. False, and nothing stored, when one of them was not."""
        folded, first = _folded(batch.others), {event.run_id for event in batch.others if event.first}
        try:
            with transaction.atomic(using=self.using), connections[self.using].cursor() as cursor:
                if batch.runs:
                    copy_text(cursor, RUNS.table, RUN_COLUMNS, [batch.runs])
                    copy_text(cursor, ATTEMPTS.table, ATTEMPT_COLUMNS, [batch.attempts])
                for table in TABLES:
                    rows = folded[id(table)]
                    table.insert([row for row in rows if row.get("run_id") in first], self.using)
                    table.write([row for row in rows if row.get("run_id") not in first], self.using)
        except IntegrityError:
            log.info("a batch holds runs that are recorded already: it is merged")
            return False
        return True

    def _merge(self, events: Sequence[Event]) -> None:
        folded = _folded(events)
        with transaction.atomic(using=self.using):
            for table in TABLES:
                table.write(folded[id(table)], self.using)


def _folded(events: Sequence[Event]) -> dict[int, list[Row]]:
    """What the events tell, one row for each key of each table."""
    rows: dict[int, list[Row]] = {id(table): [] for table in TABLES}
    for event in events:
        for table, row in rows_of(event):
            rows[id(table)].append(row)
    return {id(table): table.fold(rows[id(table)]) for table in TABLES}


def rows_of(event: Event) -> list[tuple[Merge, Row]]:
    """The rows that one event says something about."""
    try:
        if event.kind == "omitted":
            return [(OMISSIONS, snapshot.omission(event))]
        if event.kind == "deed":
            return [(DEEDS, snapshot.deed(event))]
        if event.kind in snapshot.DAG_KINDS:
            return [(DAG_RUNS, snapshot.dag_run(event))]
        if event.kind in snapshot.RUN_KINDS:
            run = snapshot.run(event)
            attempt = snapshot.attempt(event, run)
            return [(RUNS, run), (ATTEMPTS, attempt)] if attempt else [(RUNS, run)]
    except snapshot.Unreadable as error:
        log.error("event %s of %s is not recorded: %s", event.id, event.run_id, error)  # noqa: TRY400 - our own sentence says it all
        return []
    log.warning("event %s has the unknown kind %r and is not recorded", event.id, event.kind)
    return []

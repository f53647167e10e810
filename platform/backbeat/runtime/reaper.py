"""Finds what stopped making progress and sets it going again: expired leases, due retries, lost messages."""

from __future__ import annotations

import logging
import time

from backbeat.core.priority import raised
from backbeat.core.state import RunState
from backbeat.errors import BackbeatError
from backbeat.runtime.backfill import LANE
from backbeat.runtime.insist import OUTAGE
from backbeat.runtime.lines import Lines
from backbeat.runtime.redeliver import message_of
from backbeat.store.ledger import Waiting
from backbeat.store.store import Store

log = logging.getLogger("backbeat.keeper")

LIMIT = 500
POSTPONE_LIMIT_MS = 900_000
"""A run that waits in a queue with a backlog is not sent again, until it has waited so long that it may be lost in it."""


class Reaper:
    """One duty: every state that isn't final ends."""

    def __init__(self, store: Store, lease: float, lines: Lines, aging: float = 300.0) -> None:
        self.store = store
        self._lines = lines
        self._aging = aging
        self._lease = lease
        self._last: float | None = None
        self._grace_until = 0.0

    def step(self) -> int:
        """Reap once over all slots; returns how many runs were queued (again). Never raises for an outage."""
        self._lines.fresh()
        try:
            waiting = self.store.ledger.reap(LIMIT, self._grace())
            return sum(self._queue(one) for one in waiting)
        except OUTAGE as error:
            log.warning("Redis does not answer: %s", error)
            self._last = None
            return 0

    def _grace(self) -> float:
        """Extra seconds for every lease. After a pause of our own, or an outage, everyone gets one full lease first."""
        now = time.monotonic()
        if self._last is None or now - self._last > self._lease / 2:
            self._grace_until = now + self._lease
        self._last = now
        return self._lease if now < self._grace_until else 0.0

    def _queue(self, seen: Waiting) -> bool:
        queue = ""
        if seen.state is RunState.QUEUED and self._still_in_line(seen):
            queue = self._urgent_by_now(seen) or ""
            if not queue:
                return self._put_off(seen)
        try:
            message = message_of(self.store, seen.run_id, {**seen.fields, **({"q": queue} if queue else {})})
        except (BackbeatError, LookupError, TypeError, ValueError) as error:
            # One strange run must not hold up the others.
            log.error("run %s: no message can be made for it: %s", seen.run_id, error)  # noqa: TRY400 - the reason says it all
            return self._put_off(seen)
        if message is None:
            log.error("run %s: its policies are missing; save job %s again to release it", seen.run_id, seen.fields.get("j"))
            return self._put_off(seen)
        queued = self.store.ledger.queue(seen, message, queue)
        if queue:
            log.info("run %s: has waited long enough to be more urgent, and goes to queue %s", seen.run_id, queue)
        elif queued and seen.state is RunState.QUEUED:
            log.warning("run %s: nobody claimed its message, so it is sent again", seen.run_id)
        return queued

    def _put_off(self, seen: Waiting) -> bool:
        self.store.ledger.queue(seen, "")
        return False

    def _still_in_line(self, seen: Waiting) -> bool:
        """Whether the run's message is most likely still in its queue, behind others."""
        return self._waited_ms(seen) < POSTPONE_LIMIT_MS and self._lines.holds(seen)

    def _urgent_by_now(self, seen: Waiting) -> str | None:
        """The more urgent queue in which a run shall wait from now on. Its older message is dropped when its turn comes."""
        if self._waited_ms(seen) < self._aging * 1000 or self._of_backfill(seen):
            return None
        return raised(seen.fields["q"])

    def _of_backfill(self, seen: Waiting) -> bool:
        """Whether all other work is to overtake the run for as long as there is any: it, or its DAG run, is a backfill's."""
        dag_run = seen.fields.get("d")
        return LANE in seen.fields or (bool(dag_run) and LANE in self.store.ledger.get(str(dag_run)))

    def _waited_ms(self, seen: Waiting) -> int:
        """Since its last message was sent. A run that was only fired was queued when it was created."""
        sent = int(seen.fields["qt"]) - self.store.slots.requeue_ms if "qt" in seen.fields else int(seen.fields.get("c") or 0)
        return self.store.slots.now_ms() - sent

"""The scheduler's step: read what is due, decide in the core, write it back in one script a batch."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import astuple, dataclass, replace
from itertools import chain

from backbeat.core import entry as entries
from backbeat.core.due import decide
from backbeat.core.entry import Entry, offset
from backbeat.core.foreign import is_foreign
from backbeat.core.keys import occurrence_id
from backbeat.core.message import envelope
from backbeat.core.template import Template
from backbeat.core.when import iso
from backbeat.errors import BackbeatError
from backbeat.runtime.meter import Meter
from backbeat.runtime.redeliver import scheduled_fields
from backbeat.store.index import Due, Fired, Firing
from backbeat.store.leases import Lease
from backbeat.store.store import Store

log = logging.getLogger("backbeat.beat")

READ_LIMIT = 500
"""Due entries read from a shard at once."""
LONG = 60.0
"""Seconds to sleep when nothing is known to come; the caller looks sooner for edits."""
FIRE_LIMIT = 200
"""Runs in one script: at some ten microseconds each, Redis is never blocked for more than a few milliseconds."""


@dataclass
class Gate:
    """What may be done with entries from another scheduler's storage."""

    open: bool = False
    """Whether they may be fired: not before it is known that no other scheduler does."""
    told: str = "ledger"
    """`stock` when their workers know nothing of the ledger."""


class Firer:
    """Fires what is due in the shards it is given, and counts."""

    def __init__(self, store: Store, moved: Callable[[], object] = lambda: None, gate: Gate | None = None) -> None:
        self.store = store
        self.gate = gate or Gate()
        self.meter = Meter()
        self.counts = self.meter.counts
        # Told after each batch, so that a long tick is not taken for a stuck one.
        self._moved = moved
        # While Redis works on one batch, the next is decided: the two have a core each.
        self._sender = ThreadPoolExecutor(1, "backbeat-fire")

    def step(self, leases: Sequence[Lease]) -> float:
        """Fire what is due now. Returns the seconds until the next known occurrence; 0 when there is more already."""
        dues = [due for due in self.store.index.due(leases, READ_LIMIT) if due.leads]
        if not self.gate.open:
            dues = [replace(due, items=[item for item in due.items if not is_foreign(item[0])]) for due in dues]
        self.write(dues)
        if any(due.items for due in dues):
            return 0.0
        return min((max(0.0, (due.next - due.now) / 1000) for due in dues if due.next is not None), default=LONG)

    def write(self, dues: Sequence[Due]) -> None:
        """Decide what was read and write it back. A shard whose lease turns out to be gone is left to its new leader."""
        under_way: tuple[int, Sequence[Firing], Future[Fired]] | None = None
        lost: set[int] = set()
        for due in dues:
            for batch in _batches(self._firings(due)):
                if under_way is not None and not self._count(*under_way):
                    lost.add(under_way[0])
                under_way = None
                if due.lease.shard in lost:
                    break
                under_way = due.lease.shard, batch, self._sender.submit(self.store.index.fire, due.lease, batch)
        if under_way is not None:
            self._count(*under_way)

    def _count(self, shard: int, batch: Sequence[Firing], answer: Future[Fired]) -> bool:
        fired = answer.result()
        self._moved()
        self.meter.fired(fired, Counter(chain.from_iterable(firing.due for firing in batch)))
        if not fired.leads:
            log.warning("shard %d: the lease is gone; its work is left to the new leader", shard)
        return fired.leads

    def _firings(self, due: Due) -> Iterator[Firing]:
        for schedule_id, score, record in due.items:
            try:
                yield self._firing(due, schedule_id, score, record)
            except (BackbeatError, ArithmeticError, LookupError, TypeError, ValueError) as error:
                # One bad record must not stop the tick: it is parked with its reason and shown.
                log.error("schedule %s is parked: %s", schedule_id, error)  # noqa: TRY400 - the reason says it all
                self.meter.parked()
                self.store.index.park(due.lease.shard, schedule_id, str(error))

    def _firing(self, due: Due, schedule_id: str, score: str, record: str) -> Firing:
        entry = entries.read(schedule_id, record, self.store.calendars.known)
        template = self.store.index.template(due.lease.shard, entry.template_id)
        if template is None:
            raise LookupError(f"its policies (template {entry.template_id}) are missing; save the job again to mend it")
        decision = decide(due.now, int(float(score)), entry, template)
        runs = [self._run(due.lease.shard, entry, template, nominal) for nominal in decision.fires]
        shift = offset(entry.id, entry.timing.jitter)
        due_at = [nominal + shift for nominal in decision.fires] if shift else decision.fires
        told = self.gate.told if is_foreign(schedule_id) else ""
        omissions = [astuple(one) for one in decision.omissions]
        return Firing(schedule_id, score, entry.score(decision.next), runs, omissions, due_at, told, entry.timing.limit)

    def _run(self, shard: int, entry: Entry, template: Template, nominal: int) -> tuple[str, ...]:
        run_id = occurrence_id(entry.id, nominal)
        if self.gate.told == "stock" and is_foreign(entry.id):
            deadline = template.start_deadline
            expires = "" if deadline is None else iso(nominal + round(deadline * 1000))
            message = envelope(template.outline, run_id, entry.arguments, slot=None, schedule=entry.id, expires=expires)
        else:
            message = envelope(template.outline, run_id, entry.arguments, slot=shard, schedule=entry.id)
        fields = scheduled_fields(entry, nominal, template)
        return run_id, entry.job, str(nominal), template.queue, fields, template.overlap.value, message


def _batches(firings: Iterator[Firing]) -> Iterator[list[Firing]]:
    """Firings in batches of about FIRE_LIMIT runs; one entry is never split."""
    batch: list[Firing] = []
    size = 0
    for firing in firings:
        batch.append(firing)
        size += len(firing.runs) + 1
        if size >= FIRE_LIMIT:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch

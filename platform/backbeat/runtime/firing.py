"""The scheduler's step: read what is due, decide in the core, write it back in one script a batch."""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass, replace

from backbeat.core import entry as entries
from backbeat.core.due import decide
from backbeat.core.entry import Entry, Timing, offset
from backbeat.core.foreign import is_foreign
from backbeat.core.keys import moment_of
from backbeat.core.message import group_mould, mould_of
from backbeat.core.template import Template
from backbeat.core.when import iso
from backbeat.errors import BackbeatError
from backbeat.runtime.meter import Meter
from backbeat.runtime.redeliver import scheduled_facts
from backbeat.store.batch import Batch, Fire, Step
from backbeat.store.conversation import Conversation
from backbeat.store.index import Due
from backbeat.store.leases import Lease
from backbeat.store.store import Store

log = logging.getLogger("backbeat.beat")

READ_LIMIT = 200
"""Due entries read from a shard at once: the first fire of a burst waits for those of all led shards."""
LONG = 60.0
"""Seconds to sleep when nothing is known to come; the caller looks sooner for edits."""
FIRE_LIMIT = 200
"""Runs in one script: at some ten microseconds each, Redis is never blocked for more than a few milliseconds."""


UNDER_WAY = 2
"""Batches that are sent and not answered: while Redis works on one, the next is decided, sent, and waits before its door."""


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
        # Read behind a batch of the last step, for this one.
        self._ahead: list[Due] = []

    def step(self, leases: Sequence[Lease]) -> float:
        """Fire what is due now. Returns the seconds until the next known occurrence; 0 when there is more already."""
        dues = self._read(leases)
        if not self.gate.open:
            dues = [replace(due, items=[item for item in due.items if not is_foreign(item[0])]) for due in dues]
        self.write(dues)
        if any(due.items for due in dues):
            return 0.0
        return min((max(0.0, (due.next - due.now) / 1000) for due in dues if due.next is not None), default=LONG)

    def _read(self, leases: Sequence[Lease]) -> list[Due]:
        """What is due in these shards; most of a burst was read behind the batch before."""
        ahead, self._ahead = self._ahead, []
        led = {(lease.shard, lease.fence): lease for lease in leases}
        known = [due for due in ahead if led.pop((due.lease.shard, due.lease.fence), None)]
        return [due for due in [*known, *self.store.index.due(list(led.values()), READ_LIMIT)] if due.leads]

    def write(self, dues: Sequence[Due]) -> None:
        """Decide what was read and write it back. A shard whose lease turns out to be gone is left to its new leader."""
        lost: set[int] = set()
        under_way: deque[tuple[Lease, Counter[int]]] = deque()
        if not any(due.items for due in dues):
            return
        with self.store.index.conversation() as talk:
            for due in dues:
                for times, words, last in self._batches(due):
                    if due.lease.shard in lost:
                        break
                    # A shard that gave as much as was asked for has more.
                    more = READ_LIMIT if last and len(due.items) >= READ_LIMIT else 0
                    self.store.index.fire(talk, due.lease, words, more)
                    under_way.append((due.lease, times))
                    if len(under_way) == UNDER_WAY:
                        self._count(talk, *under_way.popleft(), lost)
            while under_way:
                self._count(talk, *under_way.popleft(), lost)

    def _count(self, talk: Conversation, lease: Lease, times: Counter[int], lost: set[int]) -> None:
        fired, then = self.store.index.fired(talk, lease)
        self._moved()
        self.meter.fired(fired, times)
        if not fired.leads and lease.shard not in lost:
            log.warning("shard %d: the lease is gone; its work is left to the new leader", lease.shard)
            lost.add(lease.shard)
        if then is not None:
            self._ahead.append(then)

    def _batches(self, due: Due) -> Iterator[tuple[Counter[int], list[str], bool]]:
        """What is due in a shard, in batches of about FIRE_LIMIT runs; one entry is never split.

        Of each, how many runs are due when, what is sent of it, and whether it is the last.
        """
        batch, steps = Batch(), _Steps(due, self.store, self.gate)
        for number, (schedule_id, score, record) in enumerate(due.items, 1):
            try:
                entry = entries.read(schedule_id, record, self.store.calendars.known)
                batch.add(schedule_id, entry.arguments, steps.of(entry, score))
            except (BackbeatError, ArithmeticError, LookupError, TypeError, ValueError) as error:
                # One bad record must not stop the tick: it is parked with its reason and shown.
                log.error("schedule %s is parked: %s", schedule_id, error)  # noqa: TRY400 - the reason says it all
                self.meter.parked()
                self.store.index.park(due.lease.shard, schedule_id, str(error))
            if batch.size >= FIRE_LIMIT:
                yield batch.due(), batch.argv(), number == len(due.items)
                batch = Batch()
        if batch.size:
            yield batch.due(), batch.argv(), True


class _Steps:
    """The steps of what one shard has due, each decided once: entries are many, timings and policies few."""

    def __init__(self, due: Due, store: Store, gate: Gate) -> None:
        self._due = due
        self._store = store
        self._gate = gate
        self._known: dict[tuple[Timing, str, str, int, bool], Step] = {}

    def of(self, entry: Entry, score: str) -> Step:
        """The step of an entry that was read at this score. Raises LookupError when its policies are missing."""
        shift, foreign = offset(entry.id, entry.timing.jitter), is_foreign(entry.id)
        key = entry.timing, entry.template_id, score, shift, foreign
        step = self._known.get(key)
        if step is None:
            step = self._known[key] = self._decided(entry, score, shift, self._gate.told if foreign else "")
        return step

    def _decided(self, entry: Entry, score: str, shift: int, told: str) -> Step:
        template = self._store.index.template(self._due.lease.shard, entry.template_id)
        if template is None:
            raise LookupError(f"its policies (template {entry.template_id}) are missing; save the job again to mend it")
        decision = decide(self._due.now, int(float(score)), entry, template)
        fires = [self._fire(template, nominal, shift, told) for nominal in decision.fires]
        omissions = [astuple(one) for one in decision.omissions]
        limit, overlap = entry.timing.limit or 0, template.overlap.value
        return Step(score, entry.score(decision.next), fires, omissions, template.queue, overlap, told, limit, template.batch)

    def _fire(self, template: Template, nominal: int, shift: int, told: str) -> Fire:
        expires = ""
        if told == "stock" and template.start_deadline is not None:
            expires = iso(nominal + round(template.start_deadline * 1000))
        slot = self._due.lease.shard
        mould = mould_of(template.outline, None if told == "stock" else slot, expires=expires)
        group = group_mould(template.outline, slot, template.batch) if template.batch > 1 else None
        return Fire(nominal, moment_of(nominal), mould, scheduled_facts(template, nominal, shift), nominal + shift, group)

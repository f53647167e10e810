"""How each slot stands: who leads it, what is overdue in it, what waits to leave it. Read-only."""

from __future__ import annotations

from dataclasses import dataclass

from backbeat.store.scripts import Call, run_many, script
from backbeat.store.slots import Slots


@dataclass(frozen=True, slots=True)
class Head:
    """The entry that has been due for longest."""

    schedule: str
    due: int
    """Effective time, epoch ms."""


@dataclass(frozen=True, slots=True)
class Stand:
    """One slot at one moment. Times are epoch ms by the server's clock."""

    slot: int
    now: int
    leader: str | None
    """Holder of the lease, None when it has ended."""
    fence: int
    lease_until: int
    entries: int
    scheduled: int
    """Entries that are due some day; the others have no occurrence left."""
    overdue: int
    head: Head | None
    """None when nothing is due."""
    parked: int
    unfinished: int
    """Runs with a time at which somebody looks at them."""
    events: int
    oldest_event: int | None
    letters: int
    """Messages in the outbox."""

    @property
    def late_ms(self) -> int:
        """For how long its oldest due entry has waited."""
        return self.now - self.head.due if self.head else 0


def stands(slots: Slots) -> list[Stand]:
    """All slots, in one round trip."""
    calls: list[Call] = [
        (script("stand"), [keys.lease, keys.due, keys.parked, keys.timers, keys.events, keys.outbox], []) for keys in slots.all
    ]
    return [_stand(keys.slot, reply) for keys, reply in zip(slots.all, run_many(slots.client, calls), strict=True)]


def _stand(slot: int, reply: list[str]) -> Stand:
    now, holder, fence, until, entries, scheduled, overdue, oldest, score, parked, unfinished, events, event, letters = reply
    return Stand(
        slot=slot,
        now=int(now),
        leader=str(holder) if int(until) > int(now) else None,
        fence=int(fence),
        lease_until=int(until),
        entries=int(entries),
        scheduled=int(scheduled),
        overdue=int(overdue),
        head=Head(str(oldest), int(float(score))) if int(overdue) else None,
        parked=int(parked),
        unfinished=int(unfinished),
        events=int(events),
        oldest_event=int(event.partition("-")[0]) if event else None,
        letters=int(letters),
    )

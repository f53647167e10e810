"""Whether the firing is wedged: the question of a liveness probe. A process that is gone is no reason to be red."""

from __future__ import annotations

import time

from backbeat.runtime.status import LOOK, OVERDUE_MS, RESTART, Problem, of_kind
from backbeat.store.stands import Stand, stands
from backbeat.store.store import Store
from backbeat.store.vitals import processes

PATIENCE = 2.0
"""Seconds for which a slot that is late may show that it is catching up."""
LOOK_AGAIN = 0.1


def wedged(store: Store, overdue_ms: int = OVERDUE_MS, host: str = "", patience: float = PATIENCE) -> list[Problem]:
    """What stands still; empty when the firing lives.

    Red is a scheduler that lives and does not move on, and a slot whose oldest due entry is older than `overdue_ms` and
    stays the same for `patience` seconds: one that catches up after an outage is late, but not wedged. `host` narrows the
    question to the schedulers of one machine and the slots that they lead.
    """
    alive = [one for one in of_kind(processes(store.slots), "scheduler") if host in ("", one.host)]
    leaders = {one.id for one in alive}
    slots = stands(store.slots)
    found = [
        Problem("stuck", f"scheduler {one.name} has stood still for {(slots[0].now - one.progress) / 1000:.0f} s.", RESTART)
        for one in alive
        if one.stuck(slots[0].now, overdue_ms)
    ]
    ours = [one for one in slots if not host or one.leader in leaders]
    return found + [_overdue(one) for one in _still_late(store, ours, overdue_ms, patience)]


def _still_late(store: Store, slots: list[Stand], overdue_ms: int, patience: float) -> list[Stand]:
    """The slots whose head is overdue and does not move."""
    late = {one.slot: one for one in slots if one.late_ms > overdue_ms}
    deadline = time.monotonic() + patience
    while late and time.monotonic() < deadline:
        time.sleep(LOOK_AGAIN)
        late = {one.slot: one for one in stands(store.slots) if one.slot in late and one.head == late[one.slot].head}
    return list(late.values())


def _overdue(one: Stand) -> Problem:
    name = one.head.schedule if one.head else "?"
    return Problem("overdue", f"slot {one.slot}: {name} has been due for {one.late_ms / 1000:.0f} s and is not fired.", LOOK)

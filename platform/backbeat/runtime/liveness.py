"""Whether the firing is wedged: the question of a liveness probe. A process that is gone is no reason to be red."""

from __future__ import annotations

import time

from backbeat.runtime.status import LOOK, OVERDUE_MS, RESTART, Problem, of_kind
from backbeat.store.shards import Shard, shards
from backbeat.store.store import Store
from backbeat.store.vitals import processes

PATIENCE = 2.0
"""Seconds for which a shard that is late may show that it is catching up."""
LOOK_AGAIN = 0.1


def wedged(store: Store, overdue_ms: int = OVERDUE_MS, host: str = "", patience: float = PATIENCE) -> list[Problem]:
    """What stands still; empty when the firing lives.

    Red is a scheduler that lives and does not move on, and a shard whose oldest due entry is older than `overdue_ms` and
    stays the same for `patience` seconds: one that catches up after an outage is late, but not wedged. `host` narrows the
    question to the schedulers of one machine and the shards that they lead.
    """
    alive = [one for one in of_kind(processes(store.slots), "scheduler") if host in ("", one.host)]
    leaders = {one.id for one in alive}
    stands = shards(store.slots)
    found = [
        Problem("stuck", f"scheduler {one.name} has stood still for {(stands[0].now - one.progress) / 1000:.0f} s.", RESTART)
        for one in alive
        if one.stuck(stands[0].now, overdue_ms)
    ]
    ours = [one for one in stands if not host or one.leader in leaders]
    return found + [_overdue(one) for one in _still_late(store, ours, overdue_ms, patience)]


def _still_late(store: Store, stands: list[Shard], overdue_ms: int, patience: float) -> list[Shard]:
    """The shards whose head is overdue and does not move."""
    late = {one.number: one for one in stands if one.late_ms > overdue_ms}
    deadline = time.monotonic() + patience
    while late and time.monotonic() < deadline:
        time.sleep(LOOK_AGAIN)
        late = {one.number: one for one in shards(store.slots) if one.number in late and one.head == late[one.number].head}
    return list(late.values())


def _overdue(one: Shard) -> Problem:
    name = one.head.schedule if one.head else "?"
    return Problem("overdue", f"shard {one.number}: {name} has been due for {one.late_ms / 1000:.0f} s and is not fired.", LOOK)

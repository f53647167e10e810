"""Whether the firing is wedged: the question of a liveness probe. A process that is gone is no reason to be red."""

from __future__ import annotations

import socket
import time

from backbeat.runtime.process_age import process_age
from backbeat.runtime.status import LOOK, OVERDUE_MS, RESTART, Problem, of_kind
from backbeat.store.stands import Stand, stands
from backbeat.store.store import Store
from backbeat.store.vitals import Process, processes

PATIENCE = 2.0
"""Seconds for which a slot that is late may show that it is catching up."""
LOOK_AGAIN = 0.1


def wedged(store: Store, overdue_ms: int = OVERDUE_MS, host: str = "", patience: float = PATIENCE) -> list[Problem]:
    """What stands still; empty when the firing lives.

    Red is a scheduler that lives and does not move on, and a slot whose oldest due entry is older than `overdue_ms` and
    stays the same for `patience` seconds: one that catches up after an outage is late, but not wedged. `host` narrows the
    question to the schedulers of one machine and the slots that they lead. Asked on that machine, a scheduler that says
    nothing although its process is there is red as well: it is stopped, or held up as a whole. It is shown for a minute.
    """
    known = [one for one in of_kind(processes(store.slots), "scheduler") if host in ("", one.host)]
    leaders = {one.id for one in known}
    slots = stands(store.slots)
    found = [
        Problem("stuck", f"scheduler {one.name} has stood still for {(slots[0].now - one.progress) / 1000:.0f} s.", RESTART)
        for one in known
        if one.stuck(slots[0].now, overdue_ms)
    ]
    silent = [one for one in known if host and _frozen_here(one, slots[0].now, overdue_ms)]
    found += [_frozen(one, slots[0].now) for one in _still_silent(store, silent, patience)]
    ours = [one for one in slots if not host or one.leader in leaders]
    return found + [_overdue(one) for one in _still_late(store, ours, overdue_ms, patience)]


def _frozen_here(one: Process, now: int, overdue_ms: int) -> bool:
    """Whether a silent scheduler's process is still there: Redis alone can't tell one that is held up from one that is gone."""
    silence = now - one.seen
    if one.host != socket.gethostname() or not one.silent(now) or silence <= overdue_ms:
        return False
    age = process_age(one.pid)
    # A younger process only has the number of the old one, as the first of a container that was started again.
    return age is not None and age * 1000 > silence


def _still_silent(store: Store, silent: list[Process], patience: float) -> list[Process]:
    """Those that say nothing now either: when Redis was away, all were silent, and speak with their next sign."""
    deadline = time.monotonic() + patience
    while silent and time.monotonic() < deadline:
        time.sleep(LOOK_AGAIN)
        seen = {one.id: one.seen for one in processes(store.slots)}
        silent = [one for one in silent if seen.get(one.id) == one.seen]
    return silent


def _frozen(one: Process, now: int) -> Problem:
    return Problem("frozen", f"scheduler {one.name} is there, but has said nothing for {(now - one.seen) / 1000:.0f} s.", RESTART)


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

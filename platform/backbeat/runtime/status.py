"""How the scheduling stands, from Redis alone: one answer for the command line, the admin, the probe and the metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from backbeat.core.histogram import from_text, quantile
from backbeat.store.stands import Stand, stands
from backbeat.store.store import Store
from backbeat.store.vitals import Process, processes

OVERDUE_MS = 10_000
"""An entry that has been due for longer is a sign that firing has stopped: it normally takes milliseconds."""
PARKED_SHOWN = 100


@dataclass(frozen=True, slots=True)
class Lag:
    """How late occurrences were fired in the last minute, over all schedulers (ms)."""

    count: int
    p50: int | None
    p99: int | None
    max: int


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong now, and its cure."""

    code: str
    sentence: str
    cure: str


@dataclass(frozen=True, slots=True)
class Status:
    """Everything at one moment. Counts are those of the schedulers that live, each since it began."""

    now: int
    """Epoch ms by Redis' clock."""
    processes: tuple[Process, ...]
    slots: tuple[Stand, ...]
    layout: int
    """Into how many shards leadership of the slots is divided; 0 before the first scheduler has come."""
    parked: Mapping[str, str]
    """Entries that could not be evaluated, with the reason; at most PARKED_SHOWN of them."""
    lag: Lag
    counts: Mapping[str, int]
    missed: Mapping[str, int]
    problems: tuple[Problem, ...]

    @property
    def schedulers(self) -> list[Process]:
        """The schedulers that wrote lately."""
        return of_kind(self.processes, "scheduler")

    @property
    def oldest(self) -> Stand | None:
        """The slot whose oldest due entry has waited longest; None when nothing is due."""
        return max((one for one in self.slots if one.head), key=lambda one: one.late_ms, default=None)

    @property
    def parked_count(self) -> int:
        """How many entries are parked."""
        return sum(one.parked for one in self.slots)

    @property
    def backlog(self) -> int:
        """Events that history does not have yet."""
        return sum(one.events for one in self.slots)

    @property
    def backlog_ms(self) -> int:
        """How long the oldest of them has waited."""
        return max((self.now - one.oldest_event for one in self.slots if one.oldest_event is not None), default=0)

    @property
    def outbox(self) -> int:
        """Messages that wait for the broker."""
        return sum(one.letters for one in self.slots)

    @property
    def healthy(self) -> bool:
        """Whether everything that is due is fired."""
        return not self.problems


def status(store: Store, overdue_ms: int = OVERDUE_MS) -> Status:
    """Look at everything; three round trips, none of which grows with the number of schedules."""
    slots, alive = stands(store.slots), processes(store.slots)
    now = max(one.now for one in slots)
    schedulers = of_kind(alive, "scheduler")
    return Status(
        now=now,
        processes=tuple(alive),
        slots=tuple(slots),
        layout=store.layout.shards() or 0,
        parked=dict(islice(_parked(store, slots), PARKED_SHOWN)),
        lag=_lag(schedulers),
        counts=_total(schedulers, ("fired", "refused", "duplicates", "parked", "rebalances")),
        missed=sum((Counter(one.figures.get("missed", {})) for one in schedulers), Counter()),
        problems=tuple(_problems(now, slots, schedulers, overdue_ms)),
    )


def of_kind(alive: Iterable[Process], kind: str) -> list[Process]:
    """The processes of one kind."""
    return [one for one in alive if one.kind == kind]


def _parked(store: Store, slots: Iterable[Stand]) -> Iterable[tuple[str, str]]:
    for one in slots:
        if one.parked:
            yield from store.slots.client.hscan_iter(store.slots.all[one.slot].parked, count=PARKED_SHOWN)


def _lag(schedulers: Iterable[Process]) -> Lag:
    total: Counter[int] = Counter()
    longest = 0
    for one in schedulers:
        lag = one.figures.get("lag", {})
        total.update(from_text(lag.get("buckets", "")))
        longest = max(longest, lag.get("max", 0))
    p50, p99 = quantile(total, 0.5), quantile(total, 0.99)
    # A bucket is named by the longest lag that it may hold, which may be more than any that it did.
    return Lag(total.total(), p50 and min(p50, longest), p99 and min(p99, longest), longest)


def _total(schedulers: Iterable[Process], names: Iterable[str]) -> dict[str, int]:
    listed = list(schedulers)
    return {name: sum(int(one.figures.get(name, 0)) for one in listed) for name in names}


def _problems(now: int, slots: Iterable[Stand], schedulers: list[Process], overdue_ms: int) -> Iterable[Problem]:
    if not any(not one.silent(now) for one in schedulers):
        yield Problem("no-scheduler", "no scheduler is alive, so nothing fires.", START)
    for process in schedulers:
        if process.stuck(now, overdue_ms):
            stood = f"{(now - process.progress) / 1000:.0f} s"
            yield Problem("stuck", f"scheduler {process.name} lives, but its loop has stood still for {stood}.", RESTART)
    leaderless = [one.slot for one in slots if one.leader is None]
    if leaderless:
        yield Problem("leaderless", f"nobody leads {_named(leaderless)}, so nothing in it fires.", START)
    late = [one for one in slots if one.late_ms > overdue_ms]
    if late:
        worst = max(late, key=lambda one: one.late_ms)
        what = f"{worst.head.schedule if worst.head else '?'} has been due for {worst.late_ms / 1000:.0f} s and is not fired"
        yield Problem("overdue", f"{what} ({sum(one.overdue for one in late)} entries are due in {len(late)} slots).", LOOK)


START = "Start a scheduler: celery -A webadmin beat -S backbeat.Scheduler"
RESTART = "Restart it; another scheduler takes its shards over within seconds."
LOOK = "Look at the log of the scheduler that leads this slot."


def _named(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers[:8])) + (", …" if len(numbers) > 8 else "")
    return f"slot{'s' if len(numbers) > 1 else ''} {shown}"


def as_data(state: Status) -> dict[str, Any]:
    """The status as plain data, with names that stay: what `-o json` prints and the API answers."""
    oldest = state.oldest
    return {
        "healthy": state.healthy,
        "now": state.now,
        "problems": [{"code": one.code, "sentence": one.sentence, "cure": one.cure} for one in state.problems],
        "processes": [_process(one, state.now) for one in state.processes],
        "layout": {"slots": len(state.slots), "shards": state.layout},
        "slots": [_slot(one, state.layout or len(state.slots)) for one in state.slots],
        "entries": sum(one.entries for one in state.slots),
        "overdue": sum(one.overdue for one in state.slots),
        "oldest_overdue_ms": oldest.late_ms if oldest else 0,
        "oldest_overdue": oldest.head.schedule if oldest and oldest.head else None,
        "lag_ms": {"count": state.lag.count, "p50": state.lag.p50, "p99": state.lag.p99, "max": state.lag.max},
        **state.counts,
        "missed": dict(state.missed),
        "parked_now": state.parked_count,
        "parked_entries": dict(state.parked),
        "unfinished_runs": sum(one.unfinished for one in state.slots),
        "event_backlog": state.backlog,
        "event_backlog_ms": state.backlog_ms,
        "outbox": state.outbox,
    }


def _process(one: Process, now: int) -> dict[str, Any]:
    return {
        "id": one.id,
        "kind": one.kind,
        "name": one.name,
        "host": one.host,
        "pid": one.pid,
        "started": one.started,
        "seen_ms_ago": now - one.seen,
        "progress_ms_ago": now - one.progress,
        "silent": one.silent(now),
        **one.figures,
    }


def _slot(one: Stand, shards: int) -> dict[str, Any]:
    return {
        "slot": one.slot,
        "shard": one.slot % shards,
        "leader": one.leader,
        "fence": one.fence,
        "lease_ms_left": max(0, one.lease_until - one.now),
        "entries": one.entries,
        "scheduled": one.scheduled,
        "overdue": one.overdue,
        "oldest_overdue": one.head.schedule if one.head else None,
        "oldest_overdue_ms": one.late_ms,
        "parked": one.parked,
        "unfinished": one.unfinished,
        "events": one.events,
        "outbox": one.letters,
    }

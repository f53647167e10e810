"""Walking through unfinished runs, newest first, without ever asking the server for all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from heapq import merge

from backbeat.core.keys import SlotKeys, owner_of
from backbeat.store.ledger import Ledger
from backbeat.store.slots import Slots

PAGE = 200
DEPTH = 5_000
"""At most so many runs of a slot are looked at in one walk."""


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A run as it stood when it was looked at. Quarantined runs have no time at which anybody looks: history knows them."""

    run_id: str
    fields: Mapping[str, str]

    @property
    def state(self) -> str:
        """The run's state."""
        return self.fields["s"]

    @property
    def created(self) -> int:
        """When it was created (epoch ms)."""
        return int(self.fields.get("c") or 0)


def newest(
    slots: Slots, wanted: Callable[[Unfinished], bool], job: str | None = None, depth: int = DEPTH
) -> Iterator[Unfinished]:
    """The unfinished runs that are wanted, newest first as far as the slots' order by time tells; of one job, or of all."""
    places = [slots.of(job)] if job else list(slots.all)
    walks = [_walk(slots, keys, job, depth) for keys in places]
    for one in merge(*walks, key=lambda one: -one.created):
        if (job is None or owner_of(one.run_id) == job) and wanted(one):
            yield one


def _walk(slots: Slots, keys: SlotKeys, job: str | None, depth: int) -> Iterator[Unfinished]:
    yield from _read(slots, _in_line(slots, keys, job))
    for start in range(0, depth, PAGE):
        ids = [str(one) for one in slots.client.zrange(keys.timers, start, start + PAGE - 1, desc=True)]
        if job:
            ids = [one for one in ids if owner_of(one) == job]
        yield from _read(slots, ids)
        if not ids and not slots.client.zcard(keys.timers) > start + PAGE:
            return


def _in_line(slots: Slots, keys: SlotKeys, job: str | None) -> list[str]:
    """Runs that wait behind the one that holds their job's slot: nobody looks at them by time either."""
    jobs = [job] if job else [str(name) for name in slots.client.hkeys(keys.busy)]
    pipe = slots.client.pipeline(transaction=False)
    for name in jobs:
        pipe.lrange(f"{keys.prefix}line:{name}", 0, PAGE - 1)
    return [str(run_id) for line in (pipe.execute() if jobs else []) for run_id in line]


def _read(slots: Slots, ids: list[str]) -> list[Unfinished]:
    runs = [Unfinished(run_id, fields) for run_id, fields in Ledger(slots).read(ids).items() if fields]
    return sorted(runs, key=lambda one: -one.created)

"""Keeps the index what the definitions say: after a flush, a restore, or an edit whose write got lost."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator

from backbeat.core.entry import entries_of
from backbeat.core.foreign import is_foreign
from backbeat.core.job import JobSpec
from backbeat.runtime.insist import OUTAGE
from backbeat.runtime.ports import Definitions
from backbeat.store.store import Store
from backbeat.store.swept import Swept

log = logging.getLogger("backbeat.keeper")

WHOLE_EVERY = 300
"""Seconds between two comparisons of everything. What is edited meanwhile is published by whoever edits it."""
LOOK_EVERY = 5.0
"""Seconds between two looks whether a comparison of everything is due."""
SLICE = 500
"""Definitions compared in one step."""
REST = 9.0
"""How long a sweep rests after a step, as a multiple of what it took: a keeper has more urgent things to do beside it."""


class Sweeper:
    """Compares the index with the definitions and mends the difference."""

    def __init__(self, store: Store, definitions: Definitions) -> None:
        self.store = store
        self._definitions = definitions
        self._swept = Swept(store.slots)
        self._under_way: Iterator[bool] | None = None
        self._rest = 0.0

    def pause(self) -> float:
        """Seconds until the next step."""
        return LOOK_EVERY if self._under_way is None else self._rest

    def step(self) -> int:
        """A part of a comparison when it is time for one; always 0: `pause` says when the next part is to come.

        A marker in the index itself says when: it ends by itself, and a Redis that lost its data has lost it too, so an
        empty index is found at the next step. It also keeps all keepers but one from comparing the same.
        """
        try:
            if self._under_way is not None and not self._swept.keep(WHOLE_EVERY):
                # Redis lost its data: what was read of it before says nothing any more.
                self._under_way = None
            if self._under_way is None and self._swept.take(WHOLE_EVERY):
                self._under_way = self._sweep()
            if self._under_way is not None:
                self._go_on(self._under_way)
        except OUTAGE as error:
            self._under_way = None
            log.warning("Redis does not answer: %s", error)
        except Exception:
            self._under_way = None
            self._swept.clear()
            raise
        return 0

    def _go_on(self, sweep: Iterator[bool]) -> None:
        began = time.monotonic()
        all_well = next(sweep, None)
        if all_well is None:
            self._under_way = None
        # What is missing does not fire, so then nobody rests.
        self._rest = REST * (time.monotonic() - began) if all_well else 0.0

    def _sweep(self) -> Iterator[bool]:
        """Compare everything, and mend it at the end; after each part but the last, whether all was well so far."""
        there = dict(self.store.index.ids())
        parked, defined = self.store.index.parked(), self.store.index.jobs()
        names, wanted, stale = list(self._definitions.names()), set[str](), list[str]()
        for at in range(0, len(names), SLICE):
            if at:
                yield not stale
            for spec in self._definitions.specs(names[at : at + SLICE]):
                entries = entries_of(spec)
                wanted.update(entry.id for entry in entries)
                # A job without a schedule has nothing there but its policies.
                if spec.name not in defined or any(there.get(one.id) != one.text and one.id not in parked for one in entries):
                    stale.append(spec.name)
        # Entries of RedBeat's storage have no definition here; whoever mirrors them takes them out (runtime/redbeat.py).
        extra = {one for one in set(there) - wanted if not is_foreign(one)}
        self._write(stale, there)
        if extra:
            self.store.index.remove(extra)
            log.info("index mended: %d schedules without a definition taken out", len(extra))

    def _write(self, stale: list[str], there: Iterable[str]) -> None:
        if not stale:
            return
        # Read again: somebody may have saved one since, and what is older must not win.
        specs: list[JobSpec] = list(self._definitions.specs(stale))
        # An entry that is gone goes on where history ends. One that is there was edited, and is due from now.
        known = set(there)
        since = {one: moment for one, moment in self._definitions.last_fires().items() if one not in known}
        limited = [spec.name for spec in specs if any(schedule.max_runs for schedule in spec.schedules)]
        self.store.index.put_many(specs, since, self._definitions.runs_had(limited) if limited else None)
        log.info("index mended: %d jobs written", len(specs))

"""Keeps the index what the definitions say: after a flush, a restore, or an edit whose write got lost."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from backbeat.core.entry import entries_of
from backbeat.core.foreign import is_foreign
from backbeat.core.job import JobSpec
from backbeat.runtime.insist import OUTAGE
from backbeat.runtime.ports import Definitions
from backbeat.store.store import Store

log = logging.getLogger("backbeat.keeper")

WHOLE_EVERY = 300
"""Seconds between two comparisons of everything. What is edited meanwhile is published by whoever edits it."""


class Sweeper:
    """Compares the index with the definitions and mends the difference."""

    def __init__(self, store: Store, definitions: Definitions) -> None:
        self.store = store
        self._definitions = definitions

    def step(self) -> int:
        """One comparison when it is time for it; always 0, because there is never more to do at once.

        A marker in the index itself says when: it ends by itself, and a Redis that lost its data has lost it too, so an
        empty index is found at the next step. It also keeps all keepers but one from comparing the same.
        """
        try:
            if self.store.slots.client.set(self._marker, "1", nx=True, ex=WHOLE_EVERY):
                self._sweep()
        except OUTAGE as error:
            log.warning("Redis does not answer: %s", error)
        except Exception:
            self.store.slots.client.delete(self._marker)
            raise
        return 0

    @property
    def _marker(self) -> str:
        return f"{{{self.store.slots.prefix}}}:swept"

    def _sweep(self) -> None:
        there = dict(self.store.index.ids())
        parked, defined = self.store.index.parked(), self.store.index.jobs()
        wanted: set[str] = set()
        stale: list[str] = []
        for spec in self._definitions.specs():
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

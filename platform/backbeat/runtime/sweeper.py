"""Keeps the index what the definitions say: after a flush, a restore, or an edit whose write got lost."""

from __future__ import annotations

import logging

from backbeat.core.entry import entries_of
from backbeat.core.foreign import is_foreign
from backbeat.core.job import JobSpec
from backbeat.runtime.insist import OUTAGE
from backbeat.runtime.ports import Definitions
from backbeat.store.store import Store

log = logging.getLogger("backbeat.keeper")


class Sweeper:
    """Compares the index with the definitions and mends the difference."""

    def __init__(self, store: Store, definitions: Definitions) -> None:
        self.store = store
        self._definitions = definitions

    def step(self) -> int:
        """One comparison; always 0, because there is never more to do at once."""
        try:
            self._sweep()
        except OUTAGE as error:
            log.warning("Redis does not answer: %s", error)
        return 0

    def _sweep(self) -> None:
        there = dict(self.store.index.ids())
        specs = list(self._definitions.specs())
        wanted = {entry.id: entry.text for spec in specs for entry in entries_of(spec)}
        parked = self.store.index.parked()
        stale = [spec for spec in specs if self._differs(spec, there, parked)]
        # Entries of RedBeat's storage have no definition here; whoever mirrors them takes them out (runtime/redbeat.py).
        extra = {one for one in set(there) - set(wanted) if not is_foreign(one)}
        if stale:
            # An entry that is not there at all goes on where history ends; one that is there keeps its place.
            self.store.index.put_many(stale, self._definitions.last_fires())
            log.info("index mended: %d jobs written", len(stale))
        if extra:
            self.store.index.remove(extra)
            log.info("index mended: %d schedules without a definition taken out", len(extra))

    def _differs(self, spec: JobSpec, there: dict[str, str], parked: dict[str, str]) -> bool:
        return any(there.get(entry.id) != entry.text and entry.id not in parked for entry in entries_of(spec))

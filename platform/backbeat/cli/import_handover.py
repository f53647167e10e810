"""From an entry that fires to a job that fires: never both, and no occurrence between them lost.

An entry is marked as imported before its job is published. Whoever mirrors RedBeat's entries sees the mark like any save
and takes the entry out of the index; only then is its last run read, from which the job goes on.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence

from backbeat.core.foreign import foreign_id
from backbeat.core.redbeat import read_meta
from backbeat.core.redbeat_spec import ours_of
from backbeat.errors import BackbeatError
from backbeat.store.foreign import ForeignEntries
from backbeat.store.redbeat import RedBeatStorage
from backbeat.store.store import Store

PATIENCE = 15.0
"""Seconds to wait for the schedulers; they look each second."""
LOOK_EVERY = 0.1


class Handover:
    """The entries of one import: job's name -> entry's key."""

    def __init__(self, storage: RedBeatStorage, keys: Mapping[str, str], store: Callable[[], Store]) -> None:
        self._storage = storage
        self._keys = keys
        self._store = store

    def take_over(self, jobs: Sequence[str]) -> dict[str, int]:
        """Stop these jobs' entries; returns the last occurrence (epoch ms) of each. Raises BackbeatError."""
        keys = {self._keys[name]: name for name in jobs}
        for raw in self._storage.load(list(keys)):
            self._storage.mark(raw.key, json.dumps({**ours_of(raw.ours), "imported": keys[raw.key]}))
        late = self._withdraw(list(keys))
        found = {raw.key: (read_meta(raw.meta).last or 0, late.get(raw.key) or 0) for raw in self._storage.load(list(keys))}
        return {keys[key]: max(moments) for key, moments in found.items() if any(moments)}

    def _withdraw(self, keys: Sequence[str]) -> Mapping[str, int | None]:
        """Wait until the schedulers have given them up; without any, take them out here. Returns fires not reported yet."""
        store = self._store()
        entries, deadline = ForeignEntries(store.slots), time.monotonic() + PATIENCE
        ids = {foreign_id(self._storage.name_of(key)): key for key in keys}
        while active := entries.active(list(ids)):
            if not entries.in_step():
                store.index.remove(active)
                return {ids[entry_id]: last for entry_id, last in active.items()}
            if time.monotonic() > deadline:
                raise BackbeatError(
                    f"the schedulers did not give these entries up within {PATIENCE:g} s, so nothing was imported."
                    " Look at their logs, or stop them and import again."
                )
            time.sleep(LOOK_EVERY)
        return {}

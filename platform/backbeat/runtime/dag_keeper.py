"""A keeper's duty: no DAG run stands still, none runs past its deadline, and what was cancelled stops."""

from __future__ import annotations

import logging
import math
import time

from backbeat.errors import BackbeatError
from backbeat.runtime import payloads
from backbeat.runtime.dag_advance import advance
from backbeat.runtime.dag_mend import mend
from backbeat.runtime.insist import OUTAGE
from backbeat.store.dag_ledger import Look
from backbeat.store.store import Store

log = logging.getLogger("backbeat.keeper")

AT_ONCE = 100
LOOK_EVERY = 10.0
"""Seconds after which every DAG run is looked at, whether it asked for it or not."""
SWEEP_FILES_EVERY = 3600.0


class DagKeeper:
    """Looks at DAG runs whose time has come: they asked for it, or nobody looked for a while."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._swept = -math.inf

    def step(self) -> int:
        """One look at all slots; returns how many DAG runs were seen to. Never raises for an outage."""
        try:
            self._sweep_files()
            looks = self.store.dags.due(AT_ONCE, LOOK_EVERY)
            for look in looks:
                self._see_to(look)
        except OUTAGE as error:
            log.warning("Redis does not answer: %s", error)
            return 0
        return len(looks)

    def _see_to(self, look: Look) -> None:
        if look.cancel:
            self.store.dags.cancel(look.run_id, look.cancel)
        elif look.deadline is not None and look.deadline <= look.now:
            log.warning("DAG run %s is past its timeout; it is stopped", look.run_id)
            self.store.dags.cancel(look.run_id, "timed_out")
        advance(self.store, look.run_id)
        try:
            # The graph must be read for it, which takes longer than many a DAG run.
            mend(self.store, look.run_id, look.now - LOOK_EVERY * 1000)
        except BackbeatError as error:
            log.error("DAG run %s can't be looked after: %s", look.run_id, error)  # noqa: TRY400 - our own sentence says it all

    def _sweep_files(self) -> None:
        now = time.monotonic()
        if now - self._swept > SWEEP_FILES_EVERY:
            self._swept = now
            try:
                removed = payloads.sweep(self.store.dags.known, self.store.slots.now_ms() / 1000)
            except (OSError, BackbeatError) as error:
                log.warning("old outputs of DAG runs can't be removed: %s", error)
                return
            if removed:
                log.info("the large outputs of %d DAG runs that are not kept any more were removed", removed)

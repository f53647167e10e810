"""`celery beat -S backbeat.Scheduler`: RedBeat's place in Celery, with shards, leases and an atomic fire."""

from __future__ import annotations

import logging
import time
from typing import Any
from uuid import uuid4

from redbeat.schedulers import RedBeatScheduler

from backbeat.conf import settings
from backbeat.runtime.app import Backbeat
from backbeat.runtime.beat_addresses import adopt_addresses
from backbeat.runtime.firing import Firer, Gate
from backbeat.runtime.insist import OUTAGE
from backbeat.runtime.leading import Leader
from backbeat.runtime.lookout import Lookout
from backbeat.runtime.pulse import Pulse
from backbeat.runtime.redbeat import Mirror, MirrorThread
from backbeat.store.edits import Edits
from backbeat.store.leases import Leases
from backbeat.store.store import open_store

log = logging.getLogger("backbeat.beat")

IDLE = 0.5
"""Longest sleep (seconds) between two looks whether the index was edited: how late an edit may be noticed."""


class Scheduler(RedBeatScheduler):  # type: ignore[misc]  # RedBeat is untyped
    """One of any number of live schedulers; each leads some shards by lease."""

    def __init__(self, app: Any, **kwargs: Any) -> None:
        adopt_addresses(app)
        conf = settings()
        self.store = open_store()
        identity = f"beat:{uuid4().hex}"
        leases = Leases(self.store.slots, identity, conf.scheduler_lease, conf.shards)
        self.pulse = Pulse(self.store.slots, "scheduler", identity, self._figures, conf.scheduler_lease / 3)
        self.leader = Leader(leases, conf.scheduler_lease, self.pulse.calls)
        self.gate = Gate(told="ledger" if isinstance(app, Backbeat) else "stock")
        self.firer = Firer(self.store, self.pulse.moved, self.gate)
        self.lookout = Lookout(Edits(self.store.slots))
        self.mirror: MirrorThread | None = None
        super().__init__(app, **kwargs)
        # RedBeat's one lock for everything is what the shard leases replace.
        self.lock_key = None

    def setup_schedule(self) -> None:
        """Definitions are written to the index by whoever owns them; RedBeat's entries and `beat_schedule` by us."""
        self.leader.start()
        self.mirror = MirrorThread(Mirror(self.app, self.store, self.gate, self.leader.first, self.leader.alone))
        self.mirror.start()

    def tick(self, *_: Any, **__: Any) -> float:
        """Fire what is due in the led shards; returns the seconds until there is something to do."""
        began = time.monotonic()
        try:
            leases = self.leader.leases()
            if self.lookout.needed(leases, self.gate.open):
                self.lookout.looked(self.firer.step(leases))
        except OUTAGE as error:
            log.warning("Redis does not answer, so nothing fires: %s", error)
            return 1.0
        self.firer.meter.ticked(time.monotonic() - began)
        self.pulse.moved()
        return min(self.lookout.left(), IDLE)

    def _figures(self) -> dict[str, Any]:
        return {**self.firer.meter.figures(), "rebalances": self.leader.rebalances, "shards": self.leader.shards()}

    @property
    def schedule(self) -> dict[str, Any]:
        """Celery asks for all entries at once; there may be millions, so none are handed out."""
        return {}

    @property
    def info(self) -> str:
        """What `celery beat` prints at start."""
        slots = self.store.slots
        return f"       . index -> {slots.count} slots of {slots.prefix!r}; lease {settings().scheduler_lease:g} s"

    def close(self) -> None:
        """Hand the shards over, so that nobody waits for a lease to end."""
        if self.mirror is not None:
            self.mirror.stop()
        self.leader.stop()
        self.pulse.leave()
        super().close()

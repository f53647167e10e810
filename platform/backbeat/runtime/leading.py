"""Which shards this scheduler leads: a thread renews the leases, so that a long tick can't outlive them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from backbeat.core.shard import slots_of, wanted
from backbeat.errors import ConfigurationError
from backbeat.runtime.insist import OUTAGE
from backbeat.store.leases import Lease, Leases, living
from backbeat.store.scripts import Call

log = logging.getLogger("backbeat.beat")


class Leader:
    """Takes its fair share of shards, and gives up what belongs to another."""

    def __init__(self, leases: Leases, ttl: float, also: Callable[[], Sequence[Call]] = list) -> None:
        self.rebalances = 0
        """How often the set of led shards has changed since the first ones were taken."""
        self._store = leases
        self._ttl = ttl
        # Script calls that each renewal takes along.
        self._also = also
        self._held: dict[int, tuple[Lease, float]] = {}
        self._led = False
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to lead. The first step is taken at once, so that a cold scheduler is useful at once."""
        self.step()
        self._thread = threading.Thread(target=self._run, name="backbeat-leases", daemon=True)
        self._thread.start()

    def leases(self) -> list[Lease]:
        """The shards led now. Trust ends before the lease does, counted from the moment at which it was asked for."""
        now = time.monotonic()
        return [lease for lease, trusted_until in list(self._held.values()) if trusted_until > now]

    def shards(self) -> int:
        """How many shards are led, of those into which leadership is divided now."""
        return len({lease.shard % self._store.shards for lease in self.leases()})

    def first(self) -> Lease | None:
        """The lease of slot 0, whose leader does what one scheduler does for all; None when another leads it."""
        return next((lease for lease in self.leases() if lease.shard == 0), None)

    def alone(self) -> bool:
        """Whether no other scheduler is alive."""
        return set(living(self._store.slots)) <= {self._store.holder}

    def step(self) -> None:
        """Meet the others, release what is theirs, take or renew what is ours. Without Redis: lead nothing, try again."""
        asked_at = time.monotonic()
        try:
            alive = self._store.meet()
            mine = slots_of(wanted(self._store.holder, alive, self._store.shards), self._store.shards, self._store.slots.count)
            theirs = set(self._held) - set(mine)
            if theirs:
                self._held = {shard: held for shard, held in self._held.items() if shard not in theirs}
                self._store.release(theirs)
            taken = self._store.take(mine, self._also())
        except OUTAGE as error:
            log.warning("leases can't be renewed: %s", error)
            return
        except ConfigurationError as error:
            self._held = {}
            log.critical("nothing is led: %s", error)
            return
        if {lease.shard for lease in taken} != set(self._held):
            led = sorted({lease.shard % self._store.shards for lease in taken})
            log.info("leading shards %s of %d, one of %d schedulers", led, self._store.shards, len(alive))
            self.rebalances += self._led
            self._led = True
        # A tenth less than the lease: the fence refuses late writes anyway, this spares the attempt.
        self._held = {lease.shard: (lease, asked_at + self._ttl * 0.9) for lease in taken}

    def stop(self) -> None:
        """Hand everything over and leave."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=self._ttl)
        held, self._held = list(self._held), {}
        try:
            self._store.release(held)
            self._store.leave()
        except OUTAGE as error:
            log.warning("shards could not be handed over, their leases end by themselves: %s", error)

    def _run(self) -> None:
        while not self._stopping.wait(self._ttl / 3):
            self.step()

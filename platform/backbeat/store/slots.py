"""A Redis server, a prefix and a number of slots: what every part of the store works on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from redis import Redis

from backbeat.core.keys import SlotKeys, slot_of
from backbeat.store.cluster import Cluster
from backbeat.store.scripts import asked, asked_together


@dataclass(frozen=True)
class Slots:
    """Where the ledger lives. `direct` tells that the broker's queues are lists on this very server and database."""

    client: Redis
    prefix: str = "bb"
    count: int = 16
    direct: bool = True
    requeue_after: float = 60.0
    """Seconds after which a queued run that nobody claimed is looked at."""
    key_ttl: float = 86400.0
    """Seconds for which a caller's idempotency key is kept after its run ended."""

    @cached_property
    def all(self) -> tuple[SlotKeys, ...]:
        """Every slot's keys."""
        return tuple(SlotKeys(self.prefix, slot) for slot in range(self.count))

    def of(self, identity: str) -> SlotKeys:
        """The slot of a run id, schedule id, job or DAG."""
        return self.all[slot_of(identity, self.count)]

    @property
    def clustered(self) -> bool:
        """Whether slots lie on several servers, so that no command may name keys of two of them."""
        return isinstance(self.client, Cluster)

    @property
    def direct_flag(self) -> str:
        """`direct` as scripts take it."""
        return "1" if self.direct else "0"

    @property
    def requeue_ms(self) -> int:
        """`requeue_after` as scripts take it."""
        return round(self.requeue_after * 1000)

    @property
    def key_ttl_ms(self) -> int:
        """`key_ttl` as scripts take it."""
        return max(1, round(self.key_ttl * 1000))

    def any(self, keys: Iterable[str]) -> bool:
        """Whether one of these keys is there: one cheap question in place of many, for whoever mostly finds nothing."""
        if self.clustered:
            return any(asked_together(self.client, [("EXISTS", key) for key in keys]))
        return bool(asked(self.client, "EXISTS", *keys))

    def now_ms(self) -> int:
        """The one clock: the server's, in ms since the epoch. In a cluster it is one master's; each has a clock of its own."""
        seconds, micros = self.client.time()
        return int(seconds) * 1000 + int(micros) // 1000

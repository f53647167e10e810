"""How a deployment is divided: data into slots, which never changes, and leadership into shards, which may at any time.

Slot `s` belongs to shard `s % shards`, so another number of shards moves leases and no data.
"""

from __future__ import annotations

from backbeat.errors import ConfigurationError, DefinitionError
from backbeat.store.slots import Slots


class Layout:
    """What the Redis of a deployment remembers of it."""

    def __init__(self, slots: Slots) -> None:
        self.slots = slots
        self.key = layout_key(slots)

    def check(self) -> None:
        """Remember the number of slots at the first use. Raises ConfigurationError for another number afterwards."""
        self.slots.client.hsetnx(self.key, "slots", str(self.slots.count))
        verify(self.slots, int(self.slots.client.hget(self.key, "slots") or 0))

    def shards(self) -> int | None:
        """How many shards there are; None before the first scheduler has come."""
        found = self.slots.client.hget(self.key, "shards")
        return None if found is None else int(found)

    def set_shards(self, shards: int) -> None:
        """Divide leadership into so many shards; every scheduler follows with its next renewal. Raises DefinitionError."""
        if not 1 <= shards <= self.slots.count:
            raise DefinitionError("shards", f"expected 1 to {self.slots.count}, the number of slots; got {shards}.")
        self.slots.client.hset(self.key, "shards", str(shards))


def layout_key(slots: Slots) -> str:
    """The hash that holds both numbers."""
    return f"{{{slots.prefix}}}:layout"


def verify(slots: Slots, remembered: int) -> None:
    """Raise ConfigurationError when the data in Redis is laid out in another number of slots."""
    if remembered != slots.count:
        raise ConfigurationError(
            f"BACKBEAT_SLOTS: the data in this Redis (prefix {slots.prefix!r}) is laid out in {remembered} slots, and this"
            f" process is set to {slots.count}. Set BACKBEAT_SLOTS={remembered}, or use an empty Redis or another prefix."
        )

"""When a scheduler looks at the index: something is due, somebody edited it, what is led is not the same, or it was long ago."""

from __future__ import annotations

import time
from collections.abc import Sequence

from backbeat.store.edits import Edits
from backbeat.store.leases import Lease

LOOK_EVERY = 5.0
"""Seconds between two looks, at most: for a server whose clock was set, and an edit whose author died before he told of it."""


class Lookout:
    """A look asks every slot; the mark of the last edit is one word, so that it can be asked for often."""

    def __init__(self, edits: Edits) -> None:
        self._edits = edits
        self._mark: str | None = None
        self._led: tuple[bool, frozenset[tuple[int, int]]] | None = None
        self._looked_at = self._until = float("-inf")

    def needed(self, leases: Sequence[Lease], gate_open: bool) -> bool:
        """Whether to look now. Raises redis-py's errors when the server is away; then, and until `looked`, it stays so."""
        led = gate_open, frozenset((lease.shard, lease.fence) for lease in leases)
        now = time.monotonic()
        # A clock that went back says nothing of how long ago it was.
        asleep = led == self._led and self._looked_at <= now < self._until
        mark = self._edits.mark()
        if asleep and mark == self._mark:
            return False
        # The mark is older than the look, so that an edit meanwhile is seen by the next.
        self._mark, self._led = mark, led
        self._until = float("-inf")
        return True

    def looked(self, wait: float) -> None:
        """A look is over; it found that nothing is due for `wait` seconds."""
        self._looked_at = time.monotonic()
        self._until = self._looked_at + min(wait, LOOK_EVERY)

    def left(self) -> float:
        """Seconds until the next look."""
        return max(0.0, self._until - time.monotonic())

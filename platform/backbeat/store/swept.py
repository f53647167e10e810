"""The mark that the index was lately compared with the definitions. It ends by itself, and is lost with the index."""

from __future__ import annotations

from backbeat.store.scripts import asked, asked_together
from backbeat.store.slots import Slots


class Swept:
    """One mark; in a cluster one a slot, since any master may lose its data."""

    def __init__(self, slots: Slots) -> None:
        self._client = slots.client
        self._marks = [f"{keys.prefix}swept" for keys in slots.all] if slots.clustered else [f"{{{slots.prefix}}}:swept"]

    def take(self, seconds: int) -> bool:
        """Mark it where a mark is missing; whether one was, and nobody else was quicker."""
        there = asked_together(self._client, [("EXISTS", mark) for mark in self._marks])
        missing = [mark for mark, found in zip(self._marks, there, strict=True) if not found]
        if not missing or not asked(self._client, "SET", missing[0], "1", "NX", "EX", seconds):
            return False
        asked_together(self._client, [("SET", mark, "1", "EX", seconds) for mark in self._marks])
        return True

    def keep(self, seconds: int) -> bool:
        """Let it last from now; False when a part of it is gone."""
        return all(asked_together(self._client, [("EXPIRE", mark, seconds) for mark in self._marks]))

    def clear(self) -> None:
        """Let the next look find it missing."""
        asked_together(self._client, [("DEL", mark) for mark in self._marks])

"""A mark that is another after each edit of the time index: whoever sleeps until something is due looks at no more."""

from __future__ import annotations

from uuid import uuid4

from backbeat.store.scripts import asked
from backbeat.store.slots import Slots


class Edits:
    """Set by whoever puts an entry into the index at a place of its own choice; one that moves on with its fire needs none."""

    def __init__(self, slots: Slots) -> None:
        self._client = slots.client
        self._key = f"{{{slots.prefix}}}:edited"

    def note(self) -> None:
        """Something was edited. To be said afterwards, so that whoever hears of it finds it."""
        # Not a count: after a loss of data it must not come back to what some scheduler has seen.
        self._client.set(self._key, uuid4().hex)

    def mark(self) -> str:
        """The mark of the last edit; empty when there was none."""
        return str(asked(self._client, "GET", self._key) or "")

"""The named calendars, once for all slots: one hash, with a mark that is another after each change."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from uuid import uuid4

from backbeat.core import calendar as calendars
from backbeat.core.calendar import Calendar
from backbeat.store.slots import Slots

FRESH = 0.5
"""Seconds for which what was read is believed; then only the mark of the last change is asked for."""
_CHANGES = ""


class Calendars:
    """Written by whoever owns the definitions, read by the schedulers. Threads may share one."""

    def __init__(self, slots: Slots) -> None:
        self.slots = slots
        self.key = f"{{{slots.prefix}}}:calendars"
        self._known: Mapping[str, Calendar] = {}
        self._change = ""
        self._believed_until = 0.0

    def known(self) -> Mapping[str, Calendar]:
        """Every calendar by its name, at most FRESH seconds old."""
        if time.monotonic() >= self._believed_until:
            asked_at = time.monotonic()
            change = str(self.slots.client.hget(self.key, _CHANGES) or "")
            if change != self._change or not change:
                self._known, self._change = self._read()
            self._believed_until = asked_at + FRESH
        return self._known

    def write(self, wanted: Iterable[Calendar]) -> list[str]:
        """Make these the calendars that there are; returns the names of those that changed. Without a change, one read."""
        texts = {calendar.name: calendar.text for calendar in wanted}
        there = {str(name): str(text) for name, text in self.slots.client.hgetall(self.key).items() if name != _CHANGES}
        changed = [name for name, text in texts.items() if there.get(name) != text]
        gone = [name for name in there if name not in texts]
        if changed or gone:
            pipe = self.slots.client.pipeline(transaction=True)
            if gone:
                pipe.hdel(self.key, *gone)
            for name in changed:
                pipe.hset(self.key, name, texts[name])
            # Not a count: after a loss of data it must not come back to what some scheduler has seen.
            pipe.hset(self.key, _CHANGES, uuid4().hex)
            pipe.execute()
        self._believed_until = 0.0
        return [*changed, *gone]

    def _read(self) -> tuple[dict[str, Calendar], str]:
        found = {str(name): str(text) for name, text in self.slots.client.hgetall(self.key).items()}
        change = found.pop(_CHANGES, "")
        return {name: calendars.read(text) for name, text in found.items()}, change

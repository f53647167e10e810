"""The outbox: messages for a broker that is not this server, kept until that broker has confirmed them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from backbeat.store.events import EventStreams, RawEvent
from backbeat.store.slots import Slots

GROUP = "publishers"


@dataclass(frozen=True, slots=True)
class Letter:
    """One message on its way out."""

    source: RawEvent

    @property
    def place(self) -> tuple[str, str]:
        """Where it lies: the stream and the entry's id."""
        return self.source.stream, self.source.id

    @property
    def queue(self) -> str:
        """Where it goes."""
        return self.source.fields["q"]

    @property
    def message(self) -> str:
        """The envelope, as core/message.py builds it."""
        return self.source.fields["m"]


class Outbox:
    """All slots' outboxes as one, shared by any number of publishers."""

    def __init__(self, slots: Slots, consumer: str) -> None:
        self._streams = EventStreams(slots, consumer, GROUP, [keys.outbox for keys in slots.all])
        self.prepare = self._streams.prepare

    def read(self, count: int, block_ms: int) -> list[Letter]:
        """New messages, waiting up to `block_ms` for the first."""
        return [Letter(event) for event in self._streams.read(count, block_ms)]

    def abandoned(self, count: int, idle_ms: int) -> list[Letter]:
        """Messages that a publisher took and never finished; sending one twice is harmless, losing one is not."""
        return [Letter(event) for event in self._streams.unfinished(count, idle_ms)]

    def sent(self, letters: Sequence[Letter]) -> None:
        """Remove what the broker has confirmed."""
        self._streams.done([letter.source for letter in letters])

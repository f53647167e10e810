"""What a prefork worker tells a Redis broker of messages, in half as many round trips as kombu: its parent bounds all of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from kombu.asynchronous import get_event_loop
from kombu.transport.redis import QoS
from kombu.utils.json import dumps

from backbeat.runtime.hands import closing
from backbeat.runtime.insist import OUTAGE
from backbeat.store.scripts import asked_together

LATER = 0.05
"""Seconds for which notes of runs and their acknowledgements wait for each other: longer than most messages of many tiny runs are
here. What a worker that dies meanwhile has not written: an acknowledgement: the message comes again and its claim is refused,
since the run has ended. A note: the ledger knows the run, and its lease, or the keeper's look at runs that nobody claims, brings
it back.
"""
SOON = 0.01
"""The same for an acknowledgement of a task that is no run, which would be done again."""


_Notes = dict[str, tuple[float, Any]]
"""Messages that are to be noted, and since when they are here (epoch seconds)."""


class Unacked(QoS):  # type: ignore[misc]  # kombu is untyped
    """kombu's books of unacknowledged messages, in the same two keys, written now and then.

    Of a run whose message came and was done with in the meantime nothing is written at all.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._new: _Notes = {}
        self._ended: list[str] = []
        self._due = 0.0
        self.ahead = 0
        """How many messages may be here beyond the prefetch count."""

    def can_consume(self) -> bool:
        """Whether another message may be asked for. What was asked for is read in any case.

        Its queue has lost it already, and kombu would leave it unread until there is room again: behind a long run.
        """
        here = len(self._delivered) - len(self._dirty)
        return not self.prefetch_count or here < self.prefetch_count + self.ahead or bool(self.channel._in_poll)  # noqa: SLF001 - kombu's own

    def append(self, message: Any, delivery_tag: str) -> None:
        """A message came. One that is no run has nothing but this note, so it is written at once."""
        new = {delivery_tag: (time.time(), message)}
        if later_in_loop() and _is_run(message):
            self._new |= new
            self._write_within(LATER)
        else:
            self._write(new)
        super(QoS, self).append(message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """A message is done with."""
        if self._new.pop(delivery_tag, None) is None:
            self._ended.append(delivery_tag)
            self._write_within(LATER if _is_run(self._delivered.get(delivery_tag)) else SOON)
        super(QoS, self).ack(delivery_tag)

    def restore_by_tag(self, tag: str, client: Any = None, leftmost: bool = False) -> None:
        """A message goes back to its queue, from what was noted of it; that of a run is the next one there, as on RabbitMQ.

        What kombu calls leftmost is taken last: behind a day's backlog, if there is one.
        """
        self._write()
        super().restore_by_tag(tag, client, leftmost and not _is_run(self._delivered.get(tag)))

    def restore_unacked_once(self, stderr: Any = None) -> None:
        """The channel closes."""
        with suppress(*OUTAGE):
            self._write()
        super().restore_unacked_once(stderr)

    def _write_within(self, seconds: float) -> None:
        now = time.monotonic()
        if not (later := later_in_loop()):
            self._write()
        elif not now < self._due <= now + seconds:
            # By time and not by a mark: a lost connection clears all timers.
            self._due = now + seconds
            later(seconds, self._write)

    def _write(self, new: _Notes | None = None) -> None:
        ended, self._ended = self._ended, []
        if new is None:
            new, self._new = self._new, {}
        commands: list[tuple[Any, ...]] = []
        if ended:
            commands += [("HDEL", self.unacked_key, *ended), ("ZREM", self.unacked_index_key, *ended)]
        if new:
            # The index first: what stands only there is passed over, what stood only in the hash would stay for ever.
            commands.append(("ZADD", self.unacked_index_key, *(part for tag, (since, _) in new.items() for part in (since, tag))))
            commands.append(("HSET", self.unacked_key, *(part for tag, (_, one) in new.items() for part in (tag, _noted(one)))))
        if commands:
            with self.channel.conn_or_acquire() as client:
                asked_together(client, commands)


def _is_run(message: Any) -> bool:
    return message is not None and isinstance(message.headers, dict) and bool(message.headers.get("backbeat"))


def _noted(message: Any) -> str:
    place = message.delivery_info
    text: str = dumps([message._raw, place["exchange"], place["routing_key"]])  # noqa: SLF001 - kombu's own books
    return text


def later_in_loop() -> Callable[[float, Callable[[], None]], object] | None:
    """`call_later` of the event loop, for the thread that runs it; None elsewhere, and when the loop is about to end."""
    hub = get_event_loop()
    if hub is None or closing.is_set() or threading.current_thread() is not threading.main_thread():
        return None
    later: Callable[[float, Callable[[], None]], object] = hub.call_later
    return later

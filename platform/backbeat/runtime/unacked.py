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

LATER = 0.01
"""Seconds for which an acknowledgement may wait for the next message. When the worker dies meanwhile, the message comes again
and its claim is refused, since the run has ended."""


class Unacked(QoS):  # type: ignore[misc]  # kombu is untyped
    """kombu's books of unacknowledged messages, in the same two keys. An acknowledgement travels with the next message's note."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._ended: list[str] = []
        self._due = 0.0

    def append(self, message: Any, delivery_tag: str) -> None:
        """A message came."""
        place = message.delivery_info
        # The index first: what stands only there is passed over, what stood only in the hash would stay for ever.
        self._write(
            ("ZADD", self.unacked_index_key, time.time(), delivery_tag),
            ("HSET", self.unacked_key, delivery_tag, dumps([message._raw, place["exchange"], place["routing_key"]])),  # noqa: SLF001 - kombu's own books
        )
        super(QoS, self).append(message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """A message is done with."""
        self._ended.append(delivery_tag)
        now = time.monotonic()
        if not (later := later_in_loop()):
            self._write()
        elif now >= self._due:
            self._due = now + LATER
            later(LATER, self._write)
        super(QoS, self).ack(delivery_tag)

    def restore_unacked_once(self, stderr: Any = None) -> None:
        """The channel closes."""
        with suppress(*OUTAGE):
            self._write()
        super().restore_unacked_once(stderr)

    def _write(self, *more: tuple[Any, ...]) -> None:
        ended, self._ended = self._ended, []
        done = [("HDEL", self.unacked_key, *ended), ("ZREM", self.unacked_index_key, *ended)] if ended else []
        if commands := [*done, *more]:
            with self.channel.conn_or_acquire() as client:
                asked_together(client, commands)


def later_in_loop() -> Callable[[float, Callable[[], None]], object] | None:
    """`call_later` of the event loop, for the thread that runs it; None elsewhere, and when the loop is about to end."""
    hub = get_event_loop()
    if hub is None or closing.is_set() or threading.current_thread() is not threading.main_thread():
        return None
    later: Callable[[float, Callable[[], None]], object] = hub.call_later
    return later

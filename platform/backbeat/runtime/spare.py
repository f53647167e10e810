"""Messages at hand while runs are short: a slot that has ended one begins with the next, and waits for no broker.

A worker has the next message when another one was acknowledged and the broker has heard of it, so between two runs each slot is
idle for that long; when runs are short, that is a good part of the time. A prefetch of more than one message a slot would
help, but a message must not wait behind a long run while another worker is idle. So there are as many messages again as slots as
long as one short run follows the other, and when none ends for a moment, what waits here goes back to its queue.

How that is done is a broker's own matter: `spare_rabbitmq.py`, `spare_redis.py`.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import deque
from typing import Any

from backbeat.runtime.hands import closing
from backbeat.runtime.urgent import UrgentFirst

SHORT = 0.05
"""Seconds that a short run, or all runs of a message, take at most."""
MANY, WITHIN = 32, 1.0
"""So many short runs must end within so many seconds, one after the other, before this begins."""
LOOK = 0.1
"""Seconds between two looks whether it goes on, and for which a message may wait for a run that does not end."""


class Spare(ABC):
    """When one connection of a worker has more messages than slots."""

    def __init__(self, consumer: Any, line: UrgentFirst) -> None:
        self._consumer = consumer
        self._line = line
        self._ends: deque[float] = deque(maxlen=MANY)
        self._begins = False
        self._rests_until = 0.0
        self._busy: set[str] = set()
        """The queues whose messages were acknowledged since the last look, by routing key."""
        self._latest = ""
        """The last of them."""
        self._on = False

    @abstractmethod
    def _more(self) -> bool:
        """Have more messages than slots, if that can be."""

    @abstractmethod
    def _fewer(self) -> None:
        """Have no more messages than slots."""

    @abstractmethod
    def _is_fed(self, busy: set[str]) -> bool:
        """Whether messages still come that way; these queues had messages acknowledged of late."""

    @abstractmethod
    def leave(self, name: str) -> None:
        """Take nothing more from a queue, given by its name."""

    @abstractmethod
    def stop(self) -> None:
        """Take nothing more at all."""

    def ended(self, request: Any) -> None:
        """A message was acknowledged."""
        if time.time() - (request.time_start or 0.0) > SHORT:
            self._ends.clear()
            return
        now = time.monotonic()
        self._ends.append(now)
        self._latest = key_of(request)
        self._busy.add(self._latest)
        if not self._on and not self._begins and now > self._rests_until and self._goes_on():
            self._begins = True
            self._consumer.timer.call_after(0, self._begin)

    def _goes_on(self) -> bool:
        return len(self._ends) == MANY and time.monotonic() - self._ends[0] < WITHIN

    def _begin(self) -> None:
        self._begins = False
        if not closing.is_set() and self._more():
            self._on = True
            self._consumer.timer.call_after(LOOK, self._look)

    def _look(self) -> None:
        if not self._on:
            return
        stands_still = not self._ends or time.monotonic() - self._ends[-1] > LOOK
        busy, self._busy = self._busy, set()
        if self._is_fed(busy) and self._goes_on() and not (stands_still and len(self._line)):
            self._consumer.timer.call_after(LOOK, self._look)
            return
        self._on, self._rests_until = False, time.monotonic() + WITHIN
        self._fewer()


def key_of(request: Any) -> str:
    """The routing key of the queue that a message came from."""
    return str((request.delivery_info or {}).get("routing_key") or "")

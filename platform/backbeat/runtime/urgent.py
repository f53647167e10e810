"""Which of the messages that a worker has at hand it begins with: the most urgent one, where Celery takes the oldest.

On Redis a worker asks for one message when it has room for one, and names its queues in order. RabbitMQ sends without being
asked: of each queue as many as there are slots, whatever the order of -Q, so that ten queues take turns. What waits here for a
slot is therefore sorted; and when a run has ended, the next one of its queue gets a moment to arrive before a less urgent one
begins: some times as long as it took of late.
"""

from __future__ import annotations

import heapq
import itertools
import re
import time
from collections.abc import Callable
from typing import Any

from celery.worker import state as worker_state

USUAL = 0.01
"""Seconds that RabbitMQ takes to send the next message after one was acknowledged, before we know better."""
SHORTEST, LONGEST, TIMES = 0.01, 0.1, 4.0
"""How long, in seconds, a slot may wait for the next message, and how many times the usual."""
_LEVEL = re.compile(r"\.p([0-9])$")
_MIDDLE = 5

Waiter = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]


def level_of(request: Any) -> int:
    """The priority of the queue that a message came from; the middle one for a queue that is not ours."""
    found = _LEVEL.search(str((request.delivery_info or {}).get("routing_key") or ""))
    return int(found[1]) if found else _MIDDLE


class UrgentFirst:
    """The line before the slots of a worker: stands in for the one that Celery's semaphore keeps."""

    def __init__(self, semaphore: Any, call_after: Callable[[float, Callable[[], None]], Any]) -> None:
        self._semaphore = semaphore
        self._call_after = call_after
        self._heap: list[tuple[int, int, Waiter]] = []
        self._numbers = itertools.count()
        self._holding = False
        self.asks = False
        """Whether the worker asks for each message, by urgency: then there is nothing to wait for."""
        self.on_wait: Callable[[], None] | None = None
        """Told when a message has come that must wait."""
        self._acknowledged: dict[int, float] = {}
        self._usual = USUAL
        semaphore._waiting, semaphore._add_waiter, semaphore._pop_waiter = self, self.append, self.popleft  # noqa: SLF001 - there is no other way in

    def __len__(self) -> int:
        return len(self._heap)

    def append(self, waiter: Waiter) -> None:
        """A message came and no slot is free."""
        heapq.heappush(self._heap, (-level_of(waiter[1][0]), next(self._numbers), waiter))
        if self.on_wait is not None:
            self.on_wait()

    def popleft(self) -> Waiter:
        """A slot is free: whose turn is it? Raises IndexError, as a list does, when nobody's is, or not yet."""
        if self._heap and not self._holding and not self.asks and self._best < self._highest_at_work():
            self._holding = True
            self._call_after(min(max(TIMES * self._usual, SHORTEST), LONGEST), self._go)
        if self._holding:
            raise IndexError
        return heapq.heappop(self._heap)[2]

    def withdraw(self, wanted: Callable[[Any], bool]) -> list[Any]:
        """Take those requests out of the line that are `wanted`; in the order in which their turn would have come."""
        gone = [entry for entry in sorted(self._heap) if wanted(entry[2][1][0])]
        self._heap = [entry for entry in self._heap if entry not in gone]
        heapq.heapify(self._heap)
        return [waiter[1][0] for _, _, waiter in gone]

    def clear(self) -> None:
        """The connection is lost: every message comes again."""
        self._heap.clear()

    def arrived(self, request: Any) -> None:
        """A message came: how long after one of its queue was acknowledged?"""
        before = self._acknowledged.pop(level_of(request), None)
        if before is not None and (took := time.monotonic() - before) < TIMES * LONGEST:
            self._usual += (took - self._usual) / 4

    def ended(self, request: Any) -> None:
        """A message was acknowledged. Nothing more urgent can follow it when it was no more urgent than the best at hand."""
        self._acknowledged[level_of(request)] = time.monotonic()
        if self._holding and self._heap and level_of(request) <= self._best:
            self._go()

    @property
    def _best(self) -> int:
        return -self._heap[0][0]

    def _highest_at_work(self) -> int:
        waiting = {id(waiter[1][0]) for _, _, waiter in self._heap}
        return max((level_of(one) for one in list(worker_state.reserved_requests) if id(one) not in waiting), default=0)

    def _go(self) -> None:
        self._holding = False
        while self._heap and self._semaphore.value > 0:
            waiter, args, kwargs = heapq.heappop(self._heap)[2]
            self._semaphore.acquire(waiter, *args, **kwargs)

"""Messages at hand while runs are short: a slot that has ended one begins with the next, and waits for no broker.

RabbitMQ sends a message when another one was acknowledged, so between two runs each slot is idle for that long; when runs are
short, that is a good part of the time. A prefetch of more than one message a slot would help, but a message must not wait
behind a long run while another worker is idle, and RabbitMQ can't lower what a consumer may hold. It can take a consumer away. So
a second one brings as many messages again as there are slots, from the queue that keeps this worker busy, as long as one short
run follows the other.

When none ends for a moment, what waits here goes back to its queue. The runs at work may have come by either consumer, so none
of the two may go on: both are taken away, and for each of those runs that ends a consumer of one message takes its place.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import Any

from celery.worker import state as worker_state
from kombu.common import ignore_errors

from backbeat.runtime.hands import closing
from backbeat.runtime.urgent import UrgentFirst

log = logging.getLogger("backbeat.worker")

SHORT = 0.05
"""Seconds that a short run takes at most."""
MANY, WITHIN = 32, 1.0
"""So many short runs must end within so many seconds, one after the other, before this begins."""
LOOK = 0.1
"""Seconds between two looks whether it goes on, and for which a message may wait for a run that does not end."""


class Spare:
    """The consumers that one connection of a worker has beside Celery's."""

    def __init__(self, consumer: Any, line: UrgentFirst) -> None:
        self._consumer = consumer
        self._line = line
        self._channel: Any = None
        self._ends: deque[float] = deque(maxlen=MANY)
        self._begins = False
        self._rests_until = 0.0
        self._busy: set[str] = set()
        """The queues whose messages were acknowledged since the last look, by routing key."""
        self._queue: Any = None
        """The queue that the second consumer takes from, while there is one."""
        self._second: Any = None
        self._single: dict[str, list[Any]] = {}
        """Of a queue that Celery's own consumer is gone from: those that take its place."""
        self._old: dict[str, Any] = {}
        """Messages whose consumer is gone, by id, and their queue."""

    def ended(self, request: Any) -> None:
        """A message was acknowledged."""
        if (queue := self._old.pop(request.id, None)) is not None:
            # Not here, in the midst of a message: RabbitMQ is asked, and may send others before it answers.
            self._consumer.timer.call_after(0, self._widen, (queue,))
        if time.time() - (request.time_start or 0.0) > SHORT:
            self._ends.clear()
            return
        now = time.monotonic()
        self._ends.append(now)
        self._busy.add(_key(request))
        if self._second is None and not self._begins and now > self._rests_until and self._goes_on():
            self._begins = True
            self._consumer.timer.call_after(0, self._begin, (_key(request),))

    def leave(self, name: str) -> None:
        """Take nothing more from a queue, given by its name."""
        if self._queue is not None and self._queue.name == name:
            self._end()
        for one in self._single.pop(name, ()):
            self._cancel(one)
        self._old = {run_id: queue for run_id, queue in self._old.items() if queue.name != name}

    def stop(self) -> None:
        """Take nothing more at all."""
        self._old = {}
        for name in [*self._single, *([self._queue.name] if self._queue is not None else ())]:
            self.leave(name)

    def _goes_on(self) -> bool:
        return len(self._ends) == MANY and time.monotonic() - self._ends[0] < WITHIN

    def _begin(self, key: str) -> None:
        self._begins = False
        queue = next((one for one in self._consumer.task_consumer.queues if one.routing_key == key), None)
        if queue is not None and not closing.is_set():
            self._queue, self._second = queue, self._open(queue, self._slots)
            self._consumer.timer.call_after(LOOK, self._look)

    def _look(self) -> None:
        if self._second is None:
            return
        stands_still = not self._ends or time.monotonic() - self._ends[-1] > LOOK
        busy, self._busy = self._queue.routing_key in self._busy, set()
        if busy and self._goes_on() and not (stands_still and len(self._line)):
            self._consumer.timer.call_after(LOOK, self._look)
            return
        queue, self._rests_until = self._queue, time.monotonic() + WITHIN
        self._end()
        if any(request.message.channel is self._channel for request in _at_hand(queue)):
            self._narrow(queue)

    def _end(self) -> None:
        self._cancel(self._second)
        self._queue = self._second = None

    def _narrow(self, queue: Any) -> None:
        """Have no more messages of a queue than slots, though RabbitMQ takes us to have room for more."""
        for one in self._single.pop(queue.name, ()):
            self._cancel(one)
        tasks = self._consumer.task_consumer
        if tag := tasks._active_tags.get(queue.name):  # noqa: SLF001 - kombu would forget the queue with it
            ignore_errors(self._consumer, tasks.channel.basic_cancel, tag)
        waiting = self._line.withdraw(lambda request: _key(request) == queue.routing_key)
        log.debug("queue %s: %d messages at hand go back, since runs last or end", queue.name, len(waiting))
        for request in waiting:
            worker_state.task_ready(request)
            request.reject(requeue=True)
        at_work = _at_hand(queue)
        self._old |= {request.id: queue for request in at_work}
        self._single[queue.name] = []
        for _ in range(self._slots - len(at_work)):
            self._widen(queue)

    def _widen(self, queue: Any) -> None:
        if queue.name in self._single and not closing.is_set():
            self._single[queue.name].append(self._open(queue, 1))

    def _open(self, queue: Any, messages: int) -> Any:
        if self._channel is None:
            self._channel = self._consumer.connection.channel()
        made = self._consumer.app.amqp.TaskConsumer(
            self._channel,
            queues=[queue],
            auto_declare=False,
            prefetch_count=messages,
            on_decode_error=self._consumer.on_decode_error,
        )
        made.on_message = self._consumer.task_consumer.on_message
        made.consume()
        return made

    def _cancel(self, messages: Any) -> None:
        ignore_errors(self._consumer, messages.cancel)

    @property
    def _slots(self) -> int:
        return int(self._consumer.pool.num_processes)


def _key(request: Any) -> str:
    return str((request.delivery_info or {}).get("routing_key") or "")


def _at_hand(queue: Any) -> list[Any]:
    """The messages of a queue that this worker has not done with."""
    return [request for request in list(worker_state.reserved_requests) if _key(request) == queue.routing_key]

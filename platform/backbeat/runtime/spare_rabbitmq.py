"""More messages than slots from RabbitMQ: by a second consumer. What a consumer may hold can't be lowered; it can be taken away.

It brings as many messages again as there are slots, from the queue that keeps this worker busy. The runs at work may have come by
either consumer, so when runs last, none of the two may go on: both are taken away, and for each of those runs that ends a
consumer of one message takes their place.
"""

from __future__ import annotations

import logging
from typing import Any

from celery.worker import state as worker_state
from kombu.common import ignore_errors

from backbeat.runtime.hands import closing
from backbeat.runtime.spare import Spare, key_of
from backbeat.runtime.urgent import UrgentFirst

log = logging.getLogger("backbeat.worker")


class SecondConsumer(Spare):
    """The consumers that one connection of a worker has beside Celery's."""

    def __init__(self, consumer: Any, line: UrgentFirst) -> None:
        super().__init__(consumer, line)
        self._channel: Any = None
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
        super().ended(request)

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

    def _more(self) -> bool:
        queue = next((one for one in self._consumer.task_consumer.queues if one.routing_key == self._latest), None)
        if queue is not None:
            self._queue, self._second = queue, self._open(queue, self._slots)
        return queue is not None

    def _is_fed(self, busy: set[str]) -> bool:
        return self._queue.routing_key in busy

    def _fewer(self) -> None:
        queue = self._queue
        self._end()
        if any(request.message.channel is self._channel for request in _at_hand(queue)):
            self._narrow(queue)

    def _end(self) -> None:
        self._on = False
        self._cancel(self._second)
        self._queue = self._second = None

    def _narrow(self, queue: Any) -> None:
        """Have no more messages of a queue than slots, though RabbitMQ takes us to have room for more."""
        for one in self._single.pop(queue.name, ()):
            self._cancel(one)
        tasks = self._consumer.task_consumer
        if tag := tasks._active_tags.get(queue.name):  # noqa: SLF001 - kombu would forget the queue with it
            ignore_errors(self._consumer, tasks.channel.basic_cancel, tag)
        waiting = self._line.withdraw(lambda request: key_of(request) == queue.routing_key)
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


def _at_hand(queue: Any) -> list[Any]:
    """The messages of a queue that this worker has not done with."""
    return [request for request in list(worker_state.reserved_requests) if key_of(request) == queue.routing_key]

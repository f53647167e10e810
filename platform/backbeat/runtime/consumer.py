"""The worker's consumer of messages: Celery's, for runs whose task it does not know, and without what only ETAs need."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, ClassVar

from celery.exceptions import Ignore, NotRegistered, Reject
from celery.worker import state as worker_state
from celery.worker.consumer import Consumer

from backbeat.runtime import going_on, revoking
from backbeat.runtime.claims import leave_to_another, request_of
from backbeat.runtime.handing import hand_at_once
from backbeat.runtime.kombu_redis import GARBAGE, careful
from backbeat.runtime.request import JobRequest
from backbeat.runtime.spare import Spare
from backbeat.runtime.spare_rabbitmq import SecondConsumer
from backbeat.runtime.spare_redis import AskedAhead
from backbeat.runtime.unacked import later_in_loop
from backbeat.runtime.urgent import UrgentFirst

log = logging.getLogger("backbeat.worker")

SPARE: dict[str, type[Spare]] = {"amqp": SecondConsumer, "redis": AskedAhead}
"""What brings messages at hand, by the driver of the connection."""

EVENTS_LATER = 0.05
"""Seconds for which task events wait for each other. Flower and its like show seconds."""


class JobConsumer(Consumer):  # type: ignore[misc]  # Celery is untyped
    """Loses no run whose task is unknown here, and ends the heartbeat when everything else has ended."""

    class Blueprint(Consumer.Blueprint):  # type: ignore[misc]  # as above
        """Without delayed delivery: 28 queues on RabbitMQ for delays which here wait on the time index."""

        default_steps: ClassVar[list[str]] = [
            step for step in Consumer.Blueprint.default_steps if not step.endswith(":DelayedDelivery")
        ]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Before Celery's steps, which look the commands up once.
        revoking.take_over()
        super().__init__(*args, **kwargs)
        semaphore = getattr(self.controller, "semaphore", None)
        self.urgent = None if semaphore is None else UrgentFirst(semaphore, lambda after, go: self.timer.call_after(after, go))
        JobRequest.urgent = self.urgent
        self.spare: Spare | None = None
        self._events_due = 0.0

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], Any]:
        """Celery's, for messages that can be read and make no sense: those must not end the worker."""
        take = super().create_task_handler(*args, **kwargs)

        def on_task_received(message: Any) -> None:
            try:
                take(message)
            except GARBAGE:
                log.exception("a message makes no sense, and is dropped: %r", message.headers)
                message.reject_log_error(log, self.connection_errors)
                self._free_slot(message.headers)

        return on_task_received

    def update_strategies(self) -> None:
        """Celery makes the tracers of tasks here, for pools without processes; those make their own."""
        super().update_strategies()
        if self.controller.backbeat.traces_here:
            going_on.trace_on(self.app)

    def _free_slot(self, headers: Any) -> None:
        """What failed on its way into the pool holds a place there."""
        request = worker_state.requests.get(headers.get("id")) if isinstance(headers, dict) else None
        if request in worker_state.reserved_requests and request not in worker_state.active_requests:
            worker_state.task_ready(request)
            if self.controller.semaphore is not None:
                self.controller.semaphore.release()

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        """A message for a task that this worker has no code for: another worker may, or this one after its next deploy."""
        try:
            request = request_of(message, self.hostname)
            leave_to_another(request, NotRegistered(request.task))
        except Ignore:
            message.ack_log_error(log, self.connection_errors)
        except Reject:
            message.reject_log_error(log, self.connection_errors, requeue=True)
        except Exception:
            log.exception("a message for an unknown task can't be made a run")
            super().on_unknown_task(body, message, exc)
        else:
            message.ack_log_error(log, self.connection_errors)

    def connection_for_read(self, heartbeat: float | None = None) -> Any:
        """The connection that messages come from."""
        return self.ensure_connected(careful(self.app.connection_for_read(heartbeat=heartbeat)))

    def connection_for_write(self, url: str | None = None, heartbeat: float | None = None) -> Any:
        """For events and answers to remote control, which need no confirms: waiting for them stalls gevent workers for ever.

        Messages of runs have connections of their own.
        """
        options = {"confirm_publish": False} if self.app.conf.broker_transport_options.get("confirm_publish") else {}
        return self.ensure_connected(self.app.connection(url, heartbeat=heartbeat, transport_options=options))

    def register_with_event_loop(self, hub: Any) -> None:
        """Celery's event loop is about to begin; the pool has registered already."""
        super().register_with_event_loop(hub)
        hand_at_once(self.pool, hub)
        self.spare = None
        if self.urgent is not None:
            self.urgent.on_wait = None
            self.urgent.asks = self.connection.transport.driver_type == "redis"
            self.spare = self._spare(self.urgent)
        JobRequest.spare = self.spare

    def _spare(self, line: UrgentFirst) -> Spare | None:
        """What brings messages at hand; None where nobody knows how, and where somebody has chosen how many."""
        kind = SPARE.get(self.connection.transport.driver_type)
        return kind(self, line) if kind and self.app.conf.worker_prefetch_multiplier == 1 else None

    def cancel_task_queue(self, queue: str) -> None:
        """Somebody wants nothing more from a queue (`celery control cancel_consumer`)."""
        if self.spare is not None:
            self.spare.leave(queue)
        super().cancel_task_queue(queue)

    def on_send_event_buffered(self) -> None:
        """A task event waits to be sent: with all others of the next moment, since sending costs more than the task."""
        now = time.monotonic()
        if not (later := later_in_loop()):
            super().on_send_event_buffered()
        elif now >= self._events_due:
            # By time and not by a mark: a lost connection clears all timers.
            self._events_due = now + EVENTS_LATER
            later(EVENTS_LATER, self._flush_events)

    def shutdown(self) -> None:
        """Called last of all."""
        with suppress(*self.connection_errors):
            self._flush_events()
        super().shutdown()
        self.controller.backbeat.end()

"""What a Celery worker says of itself: what it consumes, what it works on, what it holds back, and whether its loop turns."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from typing import Any

from amqp.exceptions import RecoverableConnectionError
from celery import bootsteps
from celery.worker import state as worker_state

from backbeat.runtime.hands import stirred

TURN = 1.0
"""Seconds between two signs of the loop that fetches messages."""
MOST_HELD = 100
"""At most so many ids of held messages are named."""

connected = threading.Event()
"""Set at each new connection to the broker: from now on messages are consumed."""
_turned = time.monotonic()


class LoopStep(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery is untyped
    """Lets the consumer's own timer note that its loop turns, and look whether it still has a connection to turn for.

    Celery takes these timers off at each lost connection.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, consumer: Any) -> None:
        """Called by Celery at each connection."""
        _note()
        consumer.timer.call_repeatedly(TURN, _note)
        if consumer.hub is not None:
            consumer.timer.call_repeatedly(TURN, _need_connection, (consumer,))
        connected.set()
        stirred.set()

    def stop(self, consumer: Any) -> None:
        """Called by Celery before it takes its own consumer away."""
        if getattr(consumer, "spare", None) is not None:
            consumer.spare.stop()


def _note() -> None:
    global _turned
    _turned = time.monotonic()


def _need_connection(consumer: Any) -> None:
    """End the loop when the broker's goodbye went unheard; Celery then connects again.

    Before it turns, Celery's loop on RabbitMQ reads once and drops what that raises (`_quick_drain`), the goodbye of a
    broker that closes the connection just then among it. Nothing is left to be read after that, and the worker would stand
    still until heartbeats are missed, two minutes later. (The goodbye to the connection of task events, which would be noticed,
    their dispatcher may swallow in the same moment.)
    """
    if consumer.connection is not None and not consumer.connection.connected:
        raise RecoverableConnectionError("the broker closed the connection unheard")


def idle(worker: Any) -> float:
    """Seconds since the worker's loop last turned. A solo worker's loop is the run's own while it works."""
    if pool_of(worker) == "solo" and worker_state.active_requests:
        return 0.0
    return time.monotonic() - _turned


def figures(worker: Any) -> dict[str, Any]:
    """The worker as it stands, as plain data."""
    active = set(_ids(worker_state.active_requests))
    held = [one for one in _ids(worker_state.reserved_requests) if one not in active]
    return {
        "pool": pool_of(worker),
        "slots": int(worker.concurrency or 1),
        "queues": _queues(worker),
        "active": len(active),
        "held": held[:MOST_HELD],
        "taken": sum(worker_state.total_count.values()),
    }


def pool_of(worker: Any) -> str:
    """The kind of pool: prefork, solo, thread, gevent, eventlet."""
    return str(worker.pool_cls.__module__).rpartition(".")[2]


def _queues(worker: Any) -> list[str]:
    """The queues that messages come from at this moment; none while the broker is away."""
    consumer = getattr(worker, "consumer", None)
    tasks = getattr(consumer, "task_consumer", None)
    return sorted(queue.name for queue in list(tasks.queues)) if tasks is not None else []


def _ids(requests: Iterable[Any]) -> list[str]:
    """The ids of requests. The set changes under us: Celery's main thread owns it."""
    while True:
        try:
            return [request.id for request in list(requests)]
        except RuntimeError:
            continue

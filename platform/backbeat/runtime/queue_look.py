"""Who takes messages from a queue, and how many wait in it: asked of the workers' vital signs and of the broker."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from amqp.exceptions import AMQPError, ChannelError
from kombu.exceptions import OperationalError

from backbeat.core.why_facts import Queue
from backbeat.runtime.status import of_kind
from backbeat.store.store import Store
from backbeat.store.vitals import Process

PATIENCE = 3.0
"""Seconds for which RabbitMQ may take to let us in."""


def look(store: Store, app: Any, queue: str, run_id: str, alive: Iterable[Process], now: int) -> Queue:
    """The queue as it stands. `run_id` tells whose message is looked for; "" for nobody's."""
    workers = [one for one in of_kind(alive, "worker") if not one.silent(now)]
    here = [one for one in workers if queue in one.figures["queues"]]
    holder = next((one.name for one in workers if run_id in one.figures["held"]), "")
    consumers, waiting, trouble = (None, int(store.slots.client.llen(queue)), "") if store.slots.direct else _asked(app, queue)
    return Queue(
        name=queue,
        workers=tuple(one.name for one in here),
        consumers=consumers,
        waiting=waiting,
        holder=holder,
        slots=sum(one.figures["slots"] for one in here),
        active=sum(one.figures["active"] for one in here),
        outbox=0 if store.slots.direct else int(store.slots.client.xlen(store.slots.of(run_id or queue).outbox)),
        trouble=trouble,
    )


def _asked(app: Any, queue: str) -> tuple[int | None, int | None, str]:
    """(consumers, messages, trouble), asked by name only: what does not exist shall not be made by a question."""
    try:
        with app.connection_for_read(connect_timeout=PATIENCE, heartbeat=0) as connection:
            # Not by `default_channel`, which would try again and again.
            connection.connect()
            answer = connection.channel().queue_declare(queue, passive=True)
            # Only RabbitMQ counts consumers; elsewhere kombu says 0 for "I don't know".
            consumers = int(answer.consumer_count) if connection.transport.driver_type == "amqp" else None
            return consumers, int(answer.message_count), ""
    except ChannelError as error:
        # RabbitMQ's own 404, and kombu's imitation of it: on another Redis an empty queue does not exist.
        return (0, 0, "") if str(error.reply_code) == "404" else (None, None, str(error))
    except (OSError, AMQPError, OperationalError) as error:
        return None, None, str(error) or type(error).__name__

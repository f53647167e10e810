"""How queues are declared. On Redis a queue is a list and needs nothing; on RabbitMQ its arguments are fixed at birth.

RabbitMQ refuses to declare a queue again with other arguments (406), so whatever is set here stays for the life of a queue.
"""

from __future__ import annotations

from typing import Any

from celery.app.amqp import AMQP, Queues
from kombu import Exchange, Queue

from backbeat.runtime.app_defaults import is_redis

DEAD = "backbeat.dead"
"""Where RabbitMQ puts messages that no worker could take. The ledger sends such a run again, or quarantines it."""
DELIVERY_LIMIT = 20
"""How often RabbitMQ gives out one message. A worker gives it back each second while Redis is away; the sweeper sends another."""
MOST_URGENT = 9
"""Within a classic queue RabbitMQ heeds the priority that a stock producer gives a message; quorum queues know none."""
DEAD_KEPT_MS = 7 * 86_400_000
DEAD_MOST = 10_000


def dead_queue() -> Queue:
    """The queue of dead letters: bounded in time and number, since nobody has to read it."""
    limits = {"x-queue-type": "classic", "x-message-ttl": DEAD_KEPT_MS, "x-max-length": DEAD_MOST, "x-overflow": "drop-head"}
    return Queue(DEAD, exchange="", routing_key=DEAD, queue_arguments=limits)


class PoolQueue(Queue):  # type: ignore[misc] # kombu has no types
    """A queue of jobs on RabbitMQ, declared together with the queue that takes its dead letters."""

    def queue_declare(self, nowait: bool = False, passive: bool = False, channel: Any = None) -> Any:
        """Declare both; letters to a queue that does not exist would be dropped."""
        if not passive:
            dead_queue()(channel or self.channel).declare()
        return super().queue_declare(nowait=nowait, passive=passive, channel=channel)


def pool_queue(name: str, kind: str) -> PoolQueue:
    """A queue on RabbitMQ of this kind (quorum or classic), with its dead letters, and a limit where RabbitMQ has one."""
    arguments: dict[str, Any] = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": DEAD}
    if kind == "quorum":
        arguments |= {"x-queue-type": "quorum", "x-delivery-limit": DELIVERY_LIMIT}
    else:
        arguments["x-max-priority"] = MOST_URGENT
    return PoolQueue(name, Exchange(name), name, queue_arguments=arguments)


class PoolQueues(Queues):  # type: ignore[misc] # Celery has no types
    """Makes the queues that nobody declared by hand: all of them, as a rule."""

    def new_missing(self, name: str) -> Queue:
        """Every queue that somebody asks for is a pool's."""
        return pool_queue(name, self.create_missing_queue_type)


class JobAMQP(AMQP):  # type: ignore[misc] # Celery has no types
    """Celery's, with our queues on RabbitMQ."""

    @property
    def queues_cls(self) -> type[Queues]:
        """What holds the app's queues."""
        return Queues if is_redis(self.app.conf.broker_url) else PoolQueues

    def Queues(self, queues: Any, **options: Any) -> Queues:  # noqa: N802 - Celery's name
        """The queues of the app; the default one is made like every other, where Celery would make it in another way."""
        conf = self.app.conf
        if not queues and not is_redis(conf.broker_url):
            queues = [pool_queue(conf.task_default_queue, conf.task_create_missing_queue_type)]
        return super().Queues(queues, **options)

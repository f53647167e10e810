"""Who consumes a queue, and what waits in it: on either broker, from a broker that is away, and of a queue that there is not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import amqp
import pytest
import redis
from kombu import Consumer

from backbeat import Backbeat, conf
from backbeat.runtime.queue_look import look
from backbeat.store.scripts import run_many
from backbeat.store.store import Store, open_store
from backbeat.store.vitals import Vitals, processes
from tests.support.eventually import eventually
from tests.support.processes import free_port
from tests.support.servers import RedisServer


@pytest.fixture
def store(redis_url: str, redis_broker_url: str) -> Iterator[Store]:
    with conf.override(redis_url=redis_url, broker_url=redis_broker_url):
        yield open_store()


@pytest.fixture
def rabbit(redis_url: str, rabbitmq_url: str) -> Iterator[tuple[Store, Backbeat]]:
    with conf.override(redis_url=redis_url, broker_url=rabbitmq_url):
        yield open_store(), Backbeat("look", set_as_current=False)


def worker(store: Store, name: str, *queues: str, held: tuple[str, ...] = ()) -> None:
    about = {"kind": "worker", "name": name, "host": "here", "pid": 1}
    figures = {"queues": queues, "held": held, "active": 1, "slots": 2, "pool": "prefork", "taken": 0}
    run_many(store.slots.client, [Vitals(store.slots, name, about, 60.0).call(1.0, 0.0, figures)])


def seen(store: Store, app: Any, queue: str, run_id: str = "a:1") -> Any:
    return look(store, app, queue, run_id, processes(store.slots), store.slots.now_ms())


def test_workers_are_counted_by_what_they_say_that_they_consume(store: Store) -> None:
    worker(store, "w1", "a.p5", "a.p9")
    worker(store, "w2", "b.p5", held=("a:1",))
    store.slots.client.lpush("a.p5", "one", "two")

    found = seen(store, None, "a.p5")

    assert (found.workers, found.consumers, found.waiting) == (("w1",), None, 2)
    assert (found.slots, found.active, found.holder) == (2, 1, "w2")


@pytest.mark.rabbitmq
def test_rabbitmq_counts_consumers_that_say_nothing_of_themselves(rabbit: tuple[Store, Backbeat]) -> None:
    store, app = rabbit
    name = f"t{uuid4().hex}.p5"
    assert seen(store, app, name).waiting == 0, "a question makes no queue"
    with app.connection_for_write() as connection, connection.channel() as channel:
        queue = app.amqp.queues[name](channel)
        queue.declare()
        for _ in range(3):
            channel.basic_publish(amqp.Message("x"), exchange="", routing_key=name)
        eventually(lambda: seen(store, app, name).waiting == 3)
        assert seen(store, app, name).consumers == 0

        with Consumer(channel, [queue], callbacks=[lambda *_: None]):
            eventually(lambda: seen(store, app, name).consumers == 1)
        queue.delete()


def test_a_queue_on_another_redis_is_looked_at_through_the_broker(redis_server: RedisServer, redis_client: redis.Redis) -> None:
    other = redis_server.broker_url.replace("virtual_host=0", "virtual_host=1")
    with conf.override(redis_url=redis_server.url, broker_url=other):
        store, app = open_store(), Backbeat("look", set_as_current=False)
        empty = seen(store, app, "a.p5")
        with redis_server.client() as client:
            client.select(1)
            client.lpush("a.p5", "x")
        found = seen(store, app, "a.p5")

    assert (empty.waiting, empty.trouble) == (0, "")
    assert (found.waiting, found.consumers) == (1, None)


def test_a_broker_that_is_away_is_told_and_waited_for_no_longer_than_patience(redis_url: str, redis_client: redis.Redis) -> None:
    with conf.override(redis_url=redis_url, broker_url=f"amqp://guest:guest@127.0.0.1:{free_port()}//"):
        store = open_store()
        redis_client.xadd(store.slots.of("a:1").outbox, {"q": "a.p5", "m": "{}"})

        found = seen(store, Backbeat("look", set_as_current=False), "a.p5")

    assert (found.consumers, found.waiting, found.outbox) == (None, None, 1)
    assert "refused" in found.trouble

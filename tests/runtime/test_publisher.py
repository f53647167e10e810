"""From the outbox to RabbitMQ: what the broker did not take is still there, and is sent again."""

from __future__ import annotations

import json
import statistics
import threading
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from backbeat import Backbeat, conf
from backbeat.core.message import arguments_of, envelope
from backbeat.core.template import Template
from backbeat.runtime.publisher import Publisher
from backbeat.store.outbox import Outbox
from backbeat.store.store import Store, open_store
from tests.support.eventually import eventually

pytestmark = [pytest.mark.rabbitmq, pytest.mark.redis]


@pytest.fixture
def app(redis_url: str, rabbitmq_url: str) -> Iterator[Backbeat]:
    with conf.override(redis_url=redis_url, broker_url=rabbitmq_url, shards=4):
        app = Backbeat("tests", set_as_current=False, config_source={"imports": ()})
        yield app
        app.close()


@pytest.fixture
def store(app: Backbeat) -> Store:
    return open_store()


@pytest.fixture
def channel(app: Backbeat) -> Iterator[Any]:
    with app.connection_for_read() as connection:
        yield connection.channel()


@pytest.fixture
def pool(channel: Any) -> Iterator[str]:
    name = f"t{uuid4().hex}"
    yield name
    channel.connection.channel().queue_delete(f"{name}.p5")


@pytest.fixture
def publisher(app: Backbeat, store: Store) -> Iterator[Publisher]:
    made = publisher_of(app, store)
    yield made
    made.close()


def publisher_of(app: Backbeat, store: Store, name: str = "p1") -> Publisher:
    made = Publisher(app, Outbox(store.slots, name))
    made.begin()
    return made


def submit(store: Store, pool: str, key: str = "a") -> str:
    template, run_id = Template("jobs.pay", pool=pool), f"jobs.pay:{key}"
    store.index.keep_template(run_id, template, template.task)
    message = envelope(template.outline, run_id, arguments_of((), {}), slot=store.slots.of(run_id).slot)
    fields = {"j": "jobs.pay", "n": "", "q": template.queue, "tid": template.id, "x": arguments_of((), {})}
    assert store.ledger.submit(run_id, fields, message) == (True, "queued")
    return run_id


def waiting(store: Store) -> int:
    return sum(store.slots.client.xlen(keys.outbox) for keys in store.slots.all)


def take(channel: Any, pool: str) -> Any:
    return eventually(lambda: channel.basic_get(f"{pool}.p5", no_ack=True))


def test_a_letter_becomes_a_lasting_message_and_leaves_the_outbox(
    publisher: Publisher, store: Store, channel: Any, pool: str
) -> None:
    run_id = submit(store, pool)

    assert publisher.step() == 1

    message = take(channel, pool)
    assert message.headers["id"] == run_id
    assert message.properties["delivery_mode"] == 2
    assert json.loads(message.body)[:2] == [[], {}]
    assert waiting(store) == 0


def test_a_queue_that_was_deleted_is_declared_again_and_nothing_is_lost(
    publisher: Publisher, store: Store, channel: Any, pool: str
) -> None:
    submit(store, pool, "before")
    assert publisher.step() == 1
    channel.queue_delete(f"{pool}.p5")

    run_id = submit(store, pool, "after")
    eventually(publisher.step)

    assert take(channel, pool).headers["id"] == run_id
    assert waiting(store) == 0


def test_what_a_full_queue_refuses_comes_back_once_there_is_room(
    publisher: Publisher, store: Store, channel: Any, pool: str
) -> None:
    # Made by somebody else, with arguments of its own: we publish to it all the same.
    channel.queue_declare(f"{pool}.p5", auto_delete=False, arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    for key in ("a", "b"):
        submit(store, pool, key)

    eventually(lambda: publisher.step() or waiting(store) == 1)
    assert waiting(store) == 1
    first = take(channel, pool)
    eventually(publisher.step)

    assert {first.headers["id"], take(channel, pool).headers["id"]} == {"jobs.pay:a", "jobs.pay:b"}
    assert waiting(store) == 0


def test_a_queue_that_refuses_does_not_hold_up_the_others(publisher: Publisher, store: Store, channel: Any, pool: str) -> None:
    channel.queue_declare(f"{pool}.p5", auto_delete=False, arguments={"x-max-length": 0, "x-overflow": "reject-publish"})
    submit(store, pool, "refused")
    publisher.step()

    other = f"t{uuid4().hex}"
    run_id = submit(store, other, "fine")
    eventually(lambda: publisher.step() == 1)

    assert take(channel, other).headers["id"] == run_id
    assert waiting(store) == 1
    channel.queue_delete(f"{other}.p5")


def test_a_connection_that_breaks_costs_one_failed_step_and_no_letter(
    publisher: Publisher, store: Store, channel: Any, pool: str
) -> None:
    submit(store, pool, "before")
    publisher.step()
    publisher.post.connection.connection.transport.sock.close()
    run_id = submit(store, pool, "after")

    with pytest.raises(OSError):
        publisher.step()
    assert publisher.step() == 1

    assert [take(channel, pool).headers["id"] for _ in range(2)] == ["jobs.pay:before", run_id]


def test_the_letters_of_a_dead_publisher_are_taken_over(app: Backbeat, store: Store, channel: Any, pool: str) -> None:
    run_id = submit(store, pool)
    dead = Outbox(store.slots, "dead")
    dead.prepare()
    assert [letter.queue for letter in dead.read(10, 100)] == [f"{pool}.p5"]

    heir = Publisher(app, Outbox(store.slots, "heir"), abandoned_after_ms=50)
    heir.begin()
    eventually(heir.step)
    heir.close()

    assert take(channel, pool).headers["id"] == run_id
    assert waiting(store) == 0


@pytest.fixture
def busy(publisher: Publisher) -> Iterator[Publisher]:
    stopping = threading.Event()
    thread = threading.Thread(target=lambda: [publisher.step() for _ in iter(stopping.is_set, True)])
    thread.start()
    yield publisher
    stopping.set()
    thread.join()


@pytest.mark.usefixtures("busy")
def test_a_letter_is_on_its_way_within_fifty_milliseconds(store: Store, channel: Any, pool: str) -> None:
    submit(store, pool, "warm")
    eventually(lambda: waiting(store) == 0)
    take(channel, pool)

    took = []
    for number in range(20):
        began = time.monotonic()
        submit(store, pool, str(number))
        eventually(lambda: channel.basic_get(f"{pool}.p5", no_ack=True), every=0.001)
        took.append(time.monotonic() - began)

    # The quicker quarter: other tests keep this machine busy, and a look every now and then would be slow for most letters.
    assert statistics.quantiles(took, n=4)[0] < 0.05, took

"""Queues on RabbitMQ: quorum, a limit to deliveries, and dead letters that are kept a while."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from backbeat import Backbeat, conf
from backbeat.runtime.queues import DEAD, DELIVERY_LIMIT
from tests.support.eventually import eventually

pytestmark = pytest.mark.rabbitmq


@pytest.fixture
def app(redis_url: str, rabbitmq_url: str) -> Iterator[Backbeat]:
    with conf.override(redis_url=redis_url, broker_url=rabbitmq_url):
        app = Backbeat("tests", set_as_current=False, config_source={"imports": (), "task_default_queue": f"t{uuid4().hex}.p5"})
        yield app
        app.close()


@pytest.mark.parametrize("which", ["default", "missing"])
def test_a_message_that_nobody_can_take_ends_among_the_dead_letters(app: Backbeat, which: str):
    queue = app.conf.task_default_queue if which == "default" else f"t{uuid4().hex}.p9"
    app.send_task("no.such.task", queue=queue)
    with app.connection_for_read() as connection:
        channel = connection.channel()
        channel.queue_purge(DEAD)

        for _ in range(DELIVERY_LIMIT + 1):
            message = eventually(lambda: channel.basic_get(queue))
            channel.basic_reject(message.delivery_tag, requeue=True)

        dead = eventually(lambda: channel.basic_get(DEAD))
        assert dead.headers["task"] == "no.such.task"
        assert dead.headers["x-death"][0]["reason"] == "delivery_limit"
        assert channel.basic_get(queue) is None
        channel.basic_ack(dead.delivery_tag)
        channel.queue_delete(queue)


def test_every_way_to_declare_a_queue_agrees(app: Backbeat):
    queue = f"t{uuid4().hex}.p1"
    with app.connection_for_read() as connection:
        channel = connection.channel()

        app.amqp.queues[queue](channel).declare()
        app.amqp.queues.select([queue])
        for consumed in app.amqp.queues.consume_from.values():
            consumed(channel).declare()
        app.send_task("no.such.task", queue=queue)

        assert eventually(lambda: channel.basic_get(queue)).headers["task"] == "no.such.task"
        channel.queue_delete(queue)


def test_classic_queues_have_dead_letters_too(redis_url: str, rabbitmq_url: str):
    queue = f"t{uuid4().hex}.p1"
    with conf.override(redis_url=redis_url, broker_url=rabbitmq_url):
        app = Backbeat("tests", set_as_current=False, config_source={"task_create_missing_queue_type": "classic"})
        app.send_task("no.such.task", queue=queue)
        with app.connection_for_read() as connection:
            channel = connection.channel()
            channel.queue_purge(DEAD)
            message = eventually(lambda: channel.basic_get(queue))

            channel.basic_reject(message.delivery_tag, requeue=False)

            assert eventually(lambda: channel.basic_get(DEAD)).headers["task"] == "no.such.task"
            channel.queue_delete(queue)
        app.close()


def test_in_a_classic_queue_the_priority_of_a_message_counts(redis_url: str, rabbitmq_url: str):
    queue = f"t{uuid4().hex}.p1"
    with conf.override(redis_url=redis_url, broker_url=rabbitmq_url):
        app = Backbeat("tests", set_as_current=False, config_source={"task_create_missing_queue_type": "classic"})
        for priority in (0, 9):
            app.send_task("no.such.task", queue=queue, priority=priority, headers={"sent": priority})
        with app.connection_for_read() as connection:
            channel = connection.channel()

            first = eventually(lambda: channel.basic_get(queue))

            assert first.headers["sent"] == 9
            channel.queue_delete(queue)
        app.close()

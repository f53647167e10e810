"""A prefork worker's books of unacknowledged messages: kombu's keys, fewer round trips."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from kombu import Connection
from kombu.asynchronous import Hub, get_event_loop, set_event_loop
from redis import Redis

from backbeat.conf import kombu_url
from backbeat.runtime.hands import closing
from backbeat.runtime.kombu_redis import careful
from backbeat.runtime.unacked import LATER, SOON

QUEUE = "unacked.p5"


@pytest.fixture
def channel(redis_url: str) -> Iterator[Any]:
    connection = careful(Connection(kombu_url(redis_url)))
    with connection, connection.channel() as made:
        yield made


@pytest.fixture
def hub() -> Iterator[Hub]:
    before, made = get_event_loop(), Hub()
    set_event_loop(made)
    # A worker of another test may have shut down in this process.
    closing.clear()
    yield made
    set_event_loop(before)


def taken(channel: Any, count: int, **headers: Any) -> list[Any]:
    """Messages that a worker has taken."""
    queue = channel.connection.client.SimpleQueue(QUEUE)
    for number in range(count):
        queue.put({"number": number}, headers=headers)
    found: list[Any] = []
    channel.basic_consume(QUEUE, False, found.append, "tag")
    for _ in range(count):
        channel.connection._deliver(channel._get(QUEUE), QUEUE)
    return found


def noted(redis_client: Redis) -> tuple[int, int]:
    return redis_client.hlen("unacked"), redis_client.zcard("unacked_index")


def test_without_an_event_loop_an_acknowledgement_is_written_at_once(channel: Any, redis_client: Redis) -> None:
    one, two = taken(channel, 2)
    assert noted(redis_client) == (2, 2)

    one.ack()

    assert noted(redis_client) == (1, 1)
    two.reject(requeue=True)
    assert noted(redis_client) == (0, 0)
    assert redis_client.llen(QUEUE) == 1


def test_in_an_event_loop_it_travels_with_the_next_message(channel: Any, redis_client: Redis, hub: Hub) -> None:
    (one,) = taken(channel, 1)
    one.ack()
    assert noted(redis_client) == (1, 1)

    taken(channel, 1)

    assert noted(redis_client) == (1, 1), "the new one, and not the old one"


def test_and_waits_for_it_a_moment_only(channel: Any, redis_client: Redis, hub: Hub) -> None:
    (one,) = taken(channel, 1)
    one.ack()
    time.sleep(SOON)

    hub.fire_timers()

    assert noted(redis_client) == (0, 0)


def test_that_of_a_run_waits_longer_unless_a_task_has_to_be_acknowledged(channel: Any, redis_client: Redis, hub: Hub) -> None:
    (run,) = taken(channel, 1, backbeat={"v": 1})
    time.sleep(LATER)
    hub.fire_timers()
    assert noted(redis_client) == (1, 1)
    (task,) = taken(channel, 1)

    run.ack()
    time.sleep(SOON)
    hub.fire_timers()
    assert noted(redis_client) == (2, 2), "claimed again it would be refused"

    task.ack()
    time.sleep(SOON)
    hub.fire_timers()
    assert noted(redis_client) == (0, 0), "done again it would be done twice"


def test_a_run_that_ends_at_once_leaves_no_trace(channel: Any, redis_client: Redis, hub: Hub) -> None:
    done, longer = taken(channel, 2, backbeat={"v": 1})
    done.ack()
    assert noted(redis_client) == (0, 0)
    time.sleep(LATER)

    hub.fire_timers()

    assert redis_client.hkeys("unacked") == redis_client.zrange("unacked_index", 0, -1) == [longer.delivery_tag]
    longer.ack()
    time.sleep(LATER)
    hub.fire_timers()
    assert noted(redis_client) == (0, 0)


def test_without_an_event_loop_a_run_is_noted_at_once(channel: Any, redis_client: Redis) -> None:
    taken(channel, 1, backbeat={"v": 1})

    assert noted(redis_client) == (1, 1)


def test_a_run_that_nobody_has_noted_goes_back_to_its_queue(channel: Any, redis_client: Redis, hub: Hub) -> None:
    refused, held = taken(channel, 2, backbeat={"v": 1})

    refused.reject(requeue=True)

    assert redis_client.llen(QUEUE) == 1
    assert redis_client.hkeys("unacked") == [held.delivery_tag]
    channel.close()
    assert noted(redis_client) == (0, 0)
    assert redis_client.llen(QUEUE) == 2


@pytest.mark.parametrize(("headers", "order"), [({"backbeat": {"v": 1}}, [0, 1, 2]), ({}, [1, 2, 0])])
def test_a_run_that_goes_back_is_the_next_of_its_queue_and_a_plain_task_the_last(
    channel: Any, headers: dict[str, Any], order: list[int]
) -> None:
    (refused,) = taken(channel, 1, **headers)
    queue = channel.connection.client.SimpleQueue(QUEUE)
    for number in (1, 2):
        queue.put({"number": number})

    refused.reject(requeue=True)

    channel.basic_cancel("tag")
    assert [queue.get(timeout=5).payload["number"] for _ in range(3)] == order


def test_a_worker_that_shuts_down_waits_for_nothing(channel: Any, redis_client: Redis, hub: Hub) -> None:
    (one,) = taken(channel, 1)
    closing.set()
    try:
        one.ack()
    finally:
        closing.clear()

    assert noted(redis_client) == (0, 0)


def test_a_channel_that_closes_leaves_nothing_behind(channel: Any, redis_client: Redis, hub: Hub) -> None:
    done, _ = taken(channel, 2)
    done.ack()

    channel.close()

    assert noted(redis_client) == (0, 0)
    assert redis_client.llen(QUEUE) == 1, "the one that was not acknowledged goes back"

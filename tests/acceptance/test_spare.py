"""Messages at hand while runs are short (RabbitMQ): they come, they go back when a run lasts, and nothing is lost by either."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery

from backbeat.core.job import JobSpec
from tests.acceptance.conftest import QUICK, broker_url, ready
from tests.support.deployment import Deployment
from tests.support.eventually import eventually
from tests.support.servers import RabbitServer, RedisServer

pytestmark = [pytest.mark.slow, pytest.mark.rabbitmq]

QUEUE = "default.p5"
SLOTS = 2
MANY = 400
SHORT = 0.001
LONG = 30.0


@pytest.fixture
def site(request: pytest.FixtureRequest, tmp_path: Path, redis_server: RedisServer) -> Iterator[Deployment]:
    with redis_server.client() as client:
        client.flushall()
    made = Deployment(tmp_path, redis_server.url, broker_url(request, "rabbitmq"), **QUICK)
    made.define(JobSpec("short.work", "probe.work"))
    made.keeper()
    yield made
    made.stop()


def submit(site: Deployment, name: str, count: int, seconds: float = SHORT) -> set[str]:
    return {site.submit("short.work", f"{name}{number}", seconds=seconds) for number in range(count)}


def in_queue(site: Deployment) -> int:
    """Messages that no worker has."""
    with Celery(broker=site.env["BROKER_URL"]).connection_for_read() as connection:
        return int(connection.channel().queue_declare(QUEUE, passive=True).message_count)


def wait_in_queue(site: Deployment, count: int) -> None:
    # The queue itself is declared with its first message.
    unsent = lambda: sum(int(site.client.xlen(keys.outbox)) for keys in site.store.slots.all)  # noqa: E731 - a name for it
    eventually(lambda: unsent() == 0, within=60, message=site.story)
    eventually(lambda: in_queue(site) == count, within=30, message=site.story)


def consumers(site: Deployment, count: int) -> None:
    # One connection for all questions: short runs are soon over.
    with Celery(broker=site.env["BROKER_URL"]).connection_for_read() as connection:
        ask = connection.channel().queue_declare
        eventually(lambda: ask(QUEUE, passive=True).consumer_count == count, within=30, message=site.story)


def room(site: Deployment, server: RabbitServer) -> int:
    """How many messages all consumers may hold."""
    told = server.control("list_consumers", "-p", site.env["BROKER_URL"].rpartition("/")[2], "queue_name", "prefetch_count")
    return sum(int(count) for queue, count in map(str.split, told.splitlines()[1:]) if queue == QUEUE)


def test_a_second_consumer_comes_with_short_runs_and_goes_with_the_last(site: Deployment, rabbitmq_server: RabbitServer) -> None:
    runs = submit(site, "short", 4 * MANY)
    wait_in_queue(site, len(runs))

    site.worker()
    consumers(site, 2)
    eventually(lambda: set(site.effects()) == runs, within=60, message=site.story)

    # One consumer, or, where a run took longer on a busy machine, one for each slot: in both cases no room beyond the slots.
    eventually(lambda: room(site, rabbitmq_server) == SLOTS, within=30, message=site.story)
    assert set(site.effects().values()) == {1}


def test_what_waits_behind_long_runs_goes_back_to_the_queue_for_another_worker(site: Deployment) -> None:
    submit(site, "short", MANY)
    wait_in_queue(site, MANY)
    long = submit(site, "long", 2, LONG)
    wait_in_queue(site, MANY + 2)
    after = submit(site, "after", 6)
    wait_in_queue(site, MANY + 8)

    site.worker("busy")
    consumers(site, 2)
    eventually(lambda: long <= set(site.effects("begin")), within=60, message=site.story)
    # One or two of them may have come before the second of the long ones.
    eventually(lambda: in_queue(site) == len(after - set(site.effects())), within=10, message=site.story)
    site.worker("idle")
    eventually(lambda: after <= set(site.effects()), within=20, message=site.story)

    assert not long & set(site.effects())
    assert set(site.effects("begin").values()) == {1}


def test_a_worker_that_gave_messages_back_takes_as_many_as_it_has_slots_from_then_on(site: Deployment) -> None:
    submit(site, "short", MANY)
    wait_in_queue(site, MANY)
    long = submit(site, "long", 4, seconds=1)
    site.worker()
    eventually(lambda: long <= set(site.effects()), within=60, message=site.story)

    # Twice: the second time its consumers are those that took the place of Celery's.
    for name in ("again", "and-again"):
        submit(site, f"short-{name}", MANY)
        long = submit(site, name, 6, seconds=2)
        eventually(lambda long=long: len(long & set(site.effects("begin"))) == 2, within=60, message=site.story)
        eventually(lambda: in_queue(site) == 4, within=1, message=site.story)
        eventually(lambda long=long: long <= set(site.effects()), within=60, message=site.story)

    assert set(site.effects("begin").values()) == {1}


def test_nothing_more_comes_from_a_queue_that_a_worker_was_told_to_leave(site: Deployment) -> None:
    submit(site, "short", 4 * MANY)
    wait_in_queue(site, 4 * MANY)
    worker = ready(site.worker())
    consumers(site, 2)

    Celery(broker=site.env["BROKER_URL"]).control.cancel_consumer(QUEUE, reply=True, destination=["worker@test"])

    consumers(site, 0)
    assert in_queue(site) > 0, "it was told too late"
    eventually(lambda: len(site.effects()) + in_queue(site) == 4 * MANY, within=10, message=site.story)
    assert worker.alive


def test_a_killed_worker_loses_none_of_the_messages_at_hand(site: Deployment) -> None:
    runs = submit(site, "short", 4 * MANY)
    wait_in_queue(site, len(runs))
    worker = site.worker("first")
    consumers(site, 2)

    worker.kill()
    site.worker("second")
    eventually(lambda: set(site.effects()) == runs, within=60, message=site.story)

    again = [run_id for run_id, number in site.effects().items() if number > 1]
    assert len(again) <= 2, "more than what the two processes owed the ledger"


def test_a_lost_connection_takes_both_consumers_along_and_both_come_again(
    site: Deployment, rabbitmq_server: RabbitServer
) -> None:
    runs = submit(site, "before", 8 * MANY)
    wait_in_queue(site, len(runs))
    site.worker()
    consumers(site, 2)

    rabbitmq_server.control("close_all_connections", "--vhost", site.env["BROKER_URL"].rpartition("/")[2], "cut")
    runs |= submit(site, "after", 4 * MANY)
    consumers(site, 2)

    eventually(lambda: set(site.effects()) == runs, within=60, message=site.story)
    assert set(site.effects("begin").values()) == {1}

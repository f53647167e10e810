"""Messages at hand in the batched lane on Redis: asked for while runs are short, given back when one lasts, and none is lost."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery

from backbeat import conf
from backbeat.core.job import JobSpec
from backbeat.core.message import group_of
from backbeat.runtime.spare import LOOK
from backbeat.runtime.submit_many import submit_many
from tests.acceptance.conftest import QUICK, ready
from tests.support.deployment import Deployment
from tests.support.eventually import eventually
from tests.support.servers import RedisServer

pytestmark = pytest.mark.slow

QUEUE = "default.p5"
SLOTS = 2
TOGETHER = 5
"""Runs of a message."""
SHORT, LONG = 0.001, 30.0
MANY = 300


@pytest.fixture
def site(tmp_path: Path, redis_server: RedisServer) -> Iterator[Deployment]:
    with redis_server.client() as client:
        client.flushall()
    made = Deployment(tmp_path, redis_server.url, redis_server.broker_url, **QUICK)
    made.define(JobSpec("lane.work", "probe.work", batch=TOGETHER), JobSpec("alone.work", "probe.work"))
    made.keeper()
    yield made
    made.stop()


def submit(site: Deployment, job: str, messages: int, seconds: float = SHORT) -> set[str]:
    together = TOGETHER if job == "lane.work" else 1
    with conf.override(redis_url=site.env["REDIS_URL"], broker_url=site.env["BROKER_URL"]):
        return set(map(str, submit_many(job, [{"seconds": seconds}] * messages * together)))


def in_queue(site: Deployment) -> list[str]:
    return [str(text) for text in site.client.lrange(QUEUE, 0, -1)]  # type: ignore[union-attr]  # redis-py's types know async, too


def left(site: Deployment) -> int:
    """How many runs have a message in the queue."""
    return sum(max(1, len(group_of(json.loads(text)["headers"]["backbeat"]))) for text in in_queue(site))


def given_back(site: Deployment) -> int:
    """How many of the messages in the queue a worker had, and gave back."""
    return sum(bool(json.loads(text)["headers"].get("redelivered")) for text in in_queue(site))


@pytest.mark.parametrize(("job", "ahead"), [("lane.work", True), ("alone.work", False)])
def test_what_waits_behind_long_runs_goes_back_for_another_worker(site: Deployment, job: str, ahead: bool) -> None:
    submit(site, job, MANY)
    long = submit(site, "alone.work", SLOTS, LONG)
    after = submit(site, job, 6)

    busy = site.worker("busy", "-l", "DEBUG")
    eventually(lambda: long <= set(site.effects("begin")), within=60, message=site.story)
    eventually(lambda: left(site) == len(after - set(site.effects())) > 0, within=5, message=site.story)

    assert given_back(site) <= (SLOTS if ahead else 0)
    # On a busy machine that may have been before the long runs came, too, and then no message is left of it.
    assert ("at hand go back" in busy.logs(10_000_000)) is ahead
    site.worker("idle")
    eventually(lambda: after <= set(site.effects()), within=20, message=site.story)
    assert not long & set(site.effects())
    assert set(site.effects("begin").values()) == {1}


def test_a_message_that_was_asked_for_while_runs_were_short_and_comes_behind_long_ones_goes_back(site: Deployment) -> None:
    submit(site, "lane.work", MANY)
    long = submit(site, "alone.work", SLOTS, LONG)

    site.worker("busy")
    eventually(lambda: long <= set(site.effects("begin")), within=60, message=site.story)
    after: set[str] = set()
    # It asks no more by now, but what it has asked Redis lasts for a second.
    time.sleep(4 * LOOK)
    for _ in range(10):
        after |= submit(site, "alone.work", 1)
        time.sleep(0.1)

    eventually(lambda: left(site) == len(after), within=5, message=site.story)
    assert given_back(site) <= SLOTS
    site.worker("idle")
    eventually(lambda: after <= set(site.effects()), within=20, message=site.story)
    assert not long & set(site.effects())


def test_a_killed_worker_loses_none_of_the_messages_at_hand(site: Deployment) -> None:
    runs = submit(site, "lane.work", 2 * MANY)
    worker = ready(site.worker("first"))
    eventually(lambda: len(site.effects()) > MANY, within=60, message=site.story)

    worker.kill()
    site.worker("second")
    eventually(lambda: set(site.effects()) == runs, within=150, message=site.story)

    again = [run_id for run_id, number in site.effects().items() if number > 1]
    assert len(again) <= SLOTS * TOGETHER, "more than what the two processes had not told the ledger"


def test_a_lost_connection_loses_none_of_them_and_does_none_twice(site: Deployment) -> None:
    runs = submit(site, "lane.work", 2 * MANY)
    ready(site.worker())
    for share in (1, 2, 3):
        eventually(lambda share=share: len(site.effects()) > share * MANY, within=60, message=site.story)
        site.client.client_kill_filter(_type="normal", skipme=True)

    eventually(lambda: set(site.effects()) == runs, within=90, message=site.story)

    assert set(site.effects("begin").values()) == {1}


def test_a_worker_that_was_told_to_leave_the_queue_takes_nothing_more(site: Deployment) -> None:
    runs = submit(site, "lane.work", 2 * MANY)
    worker = ready(site.worker())
    eventually(lambda: len(site.effects()) > MANY, within=60, message=site.story)

    # A connection of its own: the pool's may be one that another test has cut.
    stock = Celery(broker=site.env["BROKER_URL"])
    with stock.connection_for_write() as connection:
        stock.control.cancel_consumer(QUEUE, connection=connection, reply=True, destination=["worker@test"])

    eventually(lambda: len(site.effects()) + left(site) == len(runs) and left(site) > 0, within=10, message=site.story)
    assert worker.alive

"""Whether a run's message is still in its queue: only what is not there is sent again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from backbeat import Backbeat, conf
from backbeat.core.message import arguments_of, envelope
from backbeat.core.template import Template
from backbeat.runtime.lines import lines_of
from backbeat.runtime.publisher import Publisher
from backbeat.runtime.reaper import Reaper
from backbeat.store.outbox import Outbox
from backbeat.store.store import open_store
from tests.support.eventually import eventually

BROKERS = [pytest.param("redis", marks=pytest.mark.redis), pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)]
AGAIN = 0.05
"""Seconds after which these tests look for an unclaimed run."""


class Rig:
    """A store, a broker and what stands between them, with one job in a pool of its own."""

    def __init__(self, app: Backbeat) -> None:
        self.app, self.store = app, open_store()
        self.template = Template("jobs.pay", pool=f"t{uuid4().hex}")
        self.queue = self.template.queue
        self.connection = app.connection_for_read()
        self.channel = self.connection.channel()
        self.publisher = None if self.store.slots.direct else Publisher(app, Outbox(self.store.slots, "p"))
        if self.publisher:
            self.publisher.begin()
        self.lines = lines_of(app, self.store)
        self.reaper = Reaper(self.store, 30, self.lines)

    def submit(self, key: str) -> str:
        run_id = f"jobs.pay:{key}"
        self.store.index.keep_template(run_id, self.template, self.template.task)
        arguments = arguments_of((), {})
        message = envelope(self.template.outline, run_id, arguments, slot=self.store.slots.of(run_id).slot)
        fields = {"j": "jobs.pay", "n": "", "q": self.queue, "tid": self.template.id, "x": arguments}
        assert self.store.ledger.submit(run_id, fields, message)[0]
        self.deliver()
        return run_id

    def deliver(self) -> None:
        if self.publisher:
            eventually(self.publisher.step)

    def waiting(self) -> int:
        return int(self.channel.queue_declare(self.queue, passive=True).message_count) if self.publisher else self._llen()

    def _llen(self) -> int:
        return int(self.store.slots.client.llen(self.queue))

    def looked_at(self, run_id: str) -> None:
        """Let the reaper look until the run has been put off, or sent, once more."""
        keys = self.store.slots.of(run_id)
        before = self.store.slots.client.zscore(keys.timers, run_id)
        eventually(lambda: self.reaper.step() or self.store.slots.client.zscore(keys.timers, run_id) != before)

    def close(self) -> None:
        self.lines.close()
        if self.publisher:
            self.connection.channel().queue_delete(self.queue)
            self.publisher.close()
        self.connection.close()


@pytest.fixture(params=BROKERS)
def rig(request: pytest.FixtureRequest, redis_url: str) -> Iterator[Rig]:
    broker = request.getfixturevalue("rabbitmq_url" if request.param == "rabbitmq" else "redis_broker_url")
    with conf.override(redis_url=redis_url, broker_url=broker, shards=4, requeue_after=AGAIN):
        app = Backbeat("tests", set_as_current=False, config_source={"imports": ()})
        made = Rig(app)
        yield made
        made.close()
        app.close()


def purge(rig: Rig) -> Any:
    return rig.channel.queue_purge(rig.queue) if rig.publisher else rig.store.slots.client.delete(rig.queue)


def test_a_message_that_waits_in_its_queue_is_not_sent_again(rig: Rig) -> None:
    run_id = rig.submit("a")

    rig.looked_at(run_id)
    rig.looked_at(run_id)

    assert rig.waiting() == 1


def test_a_message_that_is_gone_is_sent_again(rig: Rig) -> None:
    run_id = rig.submit("a")
    purge(rig)

    rig.looked_at(run_id)
    rig.deliver()

    assert rig.waiting() == 1


def test_a_message_whose_queue_is_gone_is_sent_again_into_a_new_one(rig: Rig) -> None:
    run_id = rig.submit("a")
    rig.connection.channel().queue_delete(rig.queue) if rig.publisher else rig.store.slots.client.delete(rig.queue)

    rig.looked_at(run_id)
    rig.deliver()

    assert rig.waiting() == 1


def test_each_time_it_takes_longer_until_a_message_is_sent_again(rig: Rig) -> None:
    run_id = rig.submit("a")
    waits = []
    for _ in range(3):
        purge(rig)
        rig.looked_at(run_id)
        rig.deliver()
        keys = rig.store.slots.of(run_id)
        waits.append(float(rig.store.slots.client.zscore(keys.timers, run_id)) - rig.store.slots.now_ms())

    assert waits[1] > waits[0]
    assert waits[2] > waits[1]


def test_letters_that_wait_for_an_absent_broker_are_not_doubled(redis_url: str) -> None:
    with conf.override(redis_url=redis_url, broker_url="amqp://127.0.0.1:1//", shards=1, requeue_after=AGAIN):
        app = Backbeat("tests", set_as_current=False, config_source={"imports": ()})
        store = open_store()
        lines = lines_of(app, store)
        run_id, template = "jobs.pay:a", Template("jobs.pay")
        store.index.keep_template(run_id, template, template.task)
        fields = {"j": "jobs.pay", "n": "", "q": template.queue, "tid": template.id, "x": arguments_of((), {})}
        store.ledger.submit(run_id, fields, "letter")

        reaper, keys = Reaper(store, 30, lines), store.slots.of(run_id)
        before = store.slots.client.zscore(keys.timers, run_id)
        eventually(lambda: reaper.step() or store.slots.client.zscore(keys.timers, run_id) != before)

        assert store.slots.client.xlen(keys.outbox) == 1


def test_the_broker_is_asked_once_a_step(rig: Rig) -> None:
    for key in "abc":
        rig.submit(key)

    asked: list[str] = []
    inner = rig.lines._ask
    rig.lines._ask = lambda queue: asked.append(queue) or inner(queue)
    eventually(lambda: rig.reaper.step() or len(asked) >= 1)

    assert asked == [rig.queue]


def test_a_run_that_waits_too_long_behind_others_becomes_more_urgent_until_it_is_most(rig: Rig) -> None:
    rig.reaper = Reaper(rig.store, 30, rig.lines, aging=0.0)
    run_id = rig.submit("a")
    pool = rig.queue.removesuffix("5")
    queues = [f"{pool}{priority}" for priority in range(5, 10)]

    try:
        met = [rig.queue]
        for _ in range(5):
            rig.looked_at(run_id)
            if rig.store.ledger.get(run_id)["q"] != met[-1]:
                met.append(rig.store.ledger.get(run_id)["q"])
                rig.deliver()
                rig.queue = met[-1]
                assert rig.waiting() == 1

        assert met == queues
        assert rig.store.ledger.claim(run_id, "w", 30, "w").won
        assert rig.store.ledger.claim(run_id, "w", 30, "w").verdict == "running"
    finally:
        for queue in queues if rig.publisher else ():
            rig.connection.channel().queue_delete(queue)


def test_a_run_that_has_not_waited_long_stays_in_its_queue(rig: Rig) -> None:
    rig.reaper = Reaper(rig.store, 30, rig.lines, aging=60.0)
    run_id = rig.submit("a")

    rig.looked_at(run_id)

    assert rig.store.ledger.get(run_id)["q"] == rig.queue
    assert rig.waiting() == 1


@pytest.mark.parametrize("field", ["bf", "d"])
def test_a_run_of_a_backfill_and_a_node_of_its_dag_run_stay_behind_live_work(rig: Rig, field: str) -> None:
    rig.reaper = Reaper(rig.store, 30, rig.lines, aging=0.0)
    run_id = rig.submit("a")
    dag_run = f"{run_id}-whole"
    rig.store.slots.client.hset(rig.store.slots.of(dag_run).run(dag_run), mapping={"s": "running", "bf": "1"})
    rig.store.slots.client.hset(rig.store.slots.of(run_id).run(run_id), field, "1" if field == "bf" else dag_run)

    rig.looked_at(run_id)

    assert rig.store.ledger.get(run_id)["q"] == rig.queue

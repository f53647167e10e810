"""Where the messages of an entry go: the queue that Celery itself would choose, named before it is due."""

from __future__ import annotations

from typing import Any

import pytest
from celery import Celery
from kombu import Exchange, Queue

from backbeat.core.celery_options import options_of
from backbeat.core.template import Sending
from backbeat.errors import DefinitionError
from backbeat.runtime.celery_routes import Routes

QUEUES = (
    Queue("plain", Exchange("plain"), "plain"),
    Queue("errors", Exchange("logs", "topic"), "log.error.#"),
    Queue("all", Exchange("logs", "topic"), "log.#"),
    Queue("one", Exchange("news", "fanout")),
    Queue("default.p5", Exchange("default.p5"), "default.p5"),
)


def sending(options: dict[str, Any], *, ours: bool = False, broker: str = "amqp://", task: str = "t", **conf: Any) -> Sending:
    app = Celery("routes", set_as_current=False, broker=broker)
    app.conf.update(task_queues=QUEUES, task_default_queue="plain", **conf)

    @app.task(name="routed", ignore_result=True, shared=False)
    def routed() -> None: ...

    app.tasks["routed"].queue, app.tasks["routed"].priority = "all", 4

    return Routes(app, ours=ours).sending(task, (), {}, options_of(options))


@pytest.mark.parametrize(
    ("options", "queue"),
    [
        ({}, "plain"),
        ({"queue": "all"}, "all"),
        ({"exchange": "logs", "routing_key": "log.info"}, "all"),
        ({"exchange": "news", "routing_key": "whatever"}, "one"),
        ({"exchange": "", "routing_key": "anything"}, "anything"),
        ({"routing_key": "plain"}, "plain"),
        ({"queue": "new"}, "new"),
    ],
)
def test_options_lead_to_one_queue(options: dict[str, Any], queue: str) -> None:
    assert sending(options).queue == queue


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"exchange": "logs", "routing_key": "log.error.disk"}, "all, errors"),
        ({"exchange": "absent", "routing_key": "x"}, "no queue"),
        ({"routing_key": "nobody"}, "no queue"),
    ],
)
def test_a_route_to_none_or_several_queues_is_refused_with_a_cure(options: dict[str, Any], said: str) -> None:
    with pytest.raises(DefinitionError) as refused:
        sending(options)

    assert said in str(refused.value)
    assert "Name a queue" in str(refused.value)


def test_routes_of_the_configuration_and_options_of_the_task_count_as_in_celery() -> None:
    by_route = sending({}, task_routes={"t": {"queue": "all"}})
    by_task = sending({}, task="routed")
    by_entry = sending({"queue": "plain", "priority": 1}, task="routed")

    assert (by_route.queue, by_task.queue, by_entry.queue) == ("all", "all", "plain")
    assert (by_task.priority, by_task.results, by_entry.priority) == (4, False, 1)


def test_an_unknown_queue_is_refused_where_queues_must_be_declared() -> None:
    with pytest.raises(DefinitionError) as refused:
        sending({"queue": "absent"}, task_create_missing_queues=False)

    assert "task_queues" in str(refused.value)


def test_a_priority_chooses_the_queue_where_each_priority_has_one() -> None:
    mapped = sending({"queue": "default.p5", "priority": 8}, ours=True)
    beyond = sending({"queue": "default.p5", "priority": 200}, ours=True)
    by_hand = sending({"queue": "plain", "priority": 8}, ours=True)

    assert (mapped.queue, beyond.queue, by_hand.queue, by_hand.priority) == ("default.p8", "default.p9", "plain", 8)


@pytest.mark.parametrize(
    ("priority", "lane"), [(None, ""), (0, ""), (2, ""), (3, "\x06\x163"), (7, "\x06\x166"), (9, "\x06\x169")]
)
def test_on_redis_a_priority_has_the_list_that_kombu_reads(priority: int | None, lane: str) -> None:
    found = sending({"priority": priority}, broker="redis://")

    assert (found.queue, found.lane, found.priority) == ("plain", lane, priority or 0)


def test_headers_of_the_entry_never_replace_what_a_message_says_of_itself() -> None:
    found = sending({"headers": {"tenant": "a", "id": "mine", "task": "other"}})

    assert found.headers == '"celery_beat_task":true,"tenant":"a"'

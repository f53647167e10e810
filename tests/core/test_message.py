"""Messages are Celery's own protocol 2, readable by Celery's own code."""

from __future__ import annotations

import json

import pytest
from kombu.transport.virtual import Channel

from backbeat.core.message import Outline, arguments_of, envelope

OUTLINE = Outline("jobs.pay", "default.p5", timeout=60.0, soft_timeout=50.0)


ARGUMENTS = arguments_of(["a"], {"n": 1})


def made(arguments: str = ARGUMENTS, **options: object) -> dict:
    return json.loads(envelope(OUTLINE, "pay@2026-11-23T02:00:00Z", arguments, slot=3, **options))  # type: ignore[arg-type]


def test_kombu_reads_the_message_that_we_write() -> None:
    class _Channel(Channel):
        def __init__(self) -> None:
            self.body_encoding = "base64"

    message = _Channel().prepare_message  # kombu's own writer, for the names of the fields
    theirs = message("body", properties={"delivery_tag": "t"}, headers={})

    assert set(theirs) == set(made())
    assert set(theirs["properties"]) <= set(made()["properties"]) | {"delivery_info", "priority"}


def test_the_headers_are_those_that_celery_itself_sends() -> None:
    from celery import Celery

    theirs = Celery("x", broker="memory://").amqp.as_task_v2("id", "jobs.pay").headers

    assert set(theirs) - {"group_index"} <= set(made()["headers"])


def test_limits_go_hard_first_as_celery_reads_them() -> None:
    assert made()["headers"]["timelimit"] == [60.0, 50.0]


def test_two_messages_of_one_run_can_be_told_apart_by_their_tag() -> None:
    assert made()["properties"]["delivery_tag"] != made(tag="other")["properties"]["delivery_tag"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, object()])
def test_what_json_cannot_hold_is_refused(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        arguments_of([value], {})


def test_any_text_survives_the_journey() -> None:
    import base64

    text = 'Ünïcode "quotes" \\ \n \u2028 😀'
    args, kwargs, _ = json.loads(base64.b64decode(made(arguments_of([text], {text: text}))["body"]))

    assert args == [text]
    assert kwargs == {text: text}

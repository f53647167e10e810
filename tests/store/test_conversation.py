"""Scripts that are sent before earlier ones are answered. Real Redis."""

from __future__ import annotations

import pytest
import redis
from redis.exceptions import ResponseError

from backbeat.store.conversation import Conversation
from backbeat.store.scripts import script
from backbeat.store.vitals import Call


def lease(key: str) -> Call:
    return script("lease"), [key], ["holder", 30_000, "0"]


def broken() -> Call:
    return script("put"), ["a", "a", "a", "a"], ["id", "timing", "record", "no number", "", ""]


def test_answers_come_in_the_order_of_the_questions(redis_client: redis.Redis) -> None:
    with Conversation(redis_client) as talk:
        for number in range(3):
            talk.ask([lease(f"{{{number}}}a"), lease(f"{{{number}}}a")])
        answers = [talk.answer() for _ in range(3)]

    assert [[fence for _, fence, *_ in answer] for answer in answers] == [[1, 1], [1, 1], [1, 1]]


def test_a_server_that_forgot_its_scripts_is_taught_them(redis_client: redis.Redis) -> None:
    redis_client.script_flush()

    with Conversation(redis_client) as talk:
        talk.ask([lease("a")])
        talk.ask([lease("b")])
        fences = [talk.answer()[0][1], talk.answer()[0][1]]

    assert fences == [1, 1]


def test_nobody_else_reads_an_answer_that_was_left_unread(redis_client: redis.Redis) -> None:
    redis_client.set("x", "mine")

    with Conversation(redis_client) as talk:
        talk.ask([lease("a")])

    assert redis_client.get("x") == "mine"


def test_an_error_of_the_server_is_raised_and_leaves_the_connection_usable(redis_client: redis.Redis) -> None:
    redis_client.set("a", "no hash")

    with Conversation(redis_client) as talk:
        talk.ask([broken()])
        with pytest.raises(ResponseError):
            talk.answer()

    assert redis_client.get("a") == "no hash"

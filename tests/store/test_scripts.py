"""Every Lua file states its signature, and the caller is held to it."""

from __future__ import annotations

import pytest
import redis

from backbeat.store.scripts import names, run_many, script


@pytest.mark.parametrize("name", names())
def test_every_script_opens_with_its_signature_and_compiles(name: str, redis_client: redis.Redis) -> None:
    assert redis_client.script_load(script(name).source) == script(name).sha


def test_a_wrong_number_of_keys_is_refused_before_it_reaches_redis(redis_client: redis.Redis) -> None:
    with pytest.raises(TypeError, match=r"claim\.lua: expected KEYS run, timers; got 1"):
        script("claim")(redis_client, ["one"], [])


def test_a_server_that_forgot_its_scripts_is_taught_again(redis_client: redis.Redis) -> None:
    script("member")(redis_client, ["m", "l"], ["a", 1000, "0", 4, 2])
    redis_client.script_flush()

    replies = run_many(redis_client, [(script("member"), ["m", "l"], [who, 1000, "0", 4, 2]) for who in ("a", "b")])

    assert [reply[3:] for reply in replies] == [["a"], ["a", "b"]]

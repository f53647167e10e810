"""The servers that the tests stand on do answer."""

from __future__ import annotations

import os

import psycopg
import pytest
import redis
from kombu import Connection
from playwright.sync_api import Browser

from tests.support.eventually import eventually
from tests.support.servers import RedisServer


@pytest.mark.redis
def test_redis_answers_on_socket_and_port(redis_server: RedisServer, redis_client: redis.Redis) -> None:
    redis_client.set("a", "1")

    with redis.Redis.from_url(redis_server.tcp_url) as other:
        assert other.get("a") == b"1"


@pytest.mark.redis
def test_each_test_starts_with_an_empty_redis(redis_client: redis.Redis) -> None:
    assert redis_client.dbsize() == 0


@pytest.mark.redis
def test_a_killed_redis_keeps_its_data(redis_server: RedisServer, redis_client: redis.Redis) -> None:
    redis_client.config_set("appendfsync", "always")
    redis_client.set("kept", "yes")

    redis_server.kill()
    redis_server.start()

    assert redis_client.get("kept") == "yes"


@pytest.mark.rabbitmq
def test_rabbitmq_passes_a_message(rabbitmq_url: str) -> None:
    with Connection(rabbitmq_url) as connection, connection.SimpleQueue("drift.services") as queue:
        queue.put({"a": 1})

        message = queue.get(timeout=5)
        message.ack()

    assert message.payload == {"a": 1}


@pytest.mark.postgresql
def test_postgresql_answers(postgresql_url: str) -> None:
    with psycopg.connect(postgresql_url) as connection:
        assert connection.execute("select 1").fetchone() == (1,)


@pytest.mark.browser
def test_chromium_draws_a_page(chromium: Browser) -> None:
    page = chromium.new_page()

    page.set_content("<h1 id=x></h1><script>x.textContent = 'drawn'</script>")

    assert page.inner_text("h1") == "drawn"


def test_eventually_tells_the_last_answer() -> None:
    with pytest.raises(AssertionError, match="the last answer was 0"):
        eventually(lambda: 0, within=0.01)


def test_no_server_is_a_system_service(redis_server: RedisServer) -> None:
    assert redis_server.port != 6379
    assert os.getpgid(redis_server.pid) == redis_server.pid

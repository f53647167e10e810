"""A Redis that could drop state is refused, with the cure."""

from __future__ import annotations

import socketserver
import threading
import time
from collections.abc import Iterator

import pytest
import redis

from backbeat.errors import ConfigurationError, StoreUnavailable
from backbeat.store import health
from tests.support.old_redis import OldRedis
from tests.support.processes import free_port

pytestmark = pytest.mark.redis


@pytest.fixture
def changed(redis_client: redis.Redis) -> Iterator[redis.Redis]:
    before = redis_client.config_get("maxmemory-policy", "appendonly")
    yield redis_client
    for name, value in before.items():
        redis_client.config_set(name, value)


def test_a_good_server_passes(redis_client: redis.Redis) -> None:
    assert [finding for finding in health.examine(redis_client) if not finding.ok] == []
    health.require(redis_client)


def test_an_evicting_server_is_refused_with_the_cure(changed: redis.Redis) -> None:
    changed.config_set("maxmemory-policy", "allkeys-lru")

    with pytest.raises(ConfigurationError, match=r"expected maxmemory-policy noeviction; got allkeys-lru.*CONFIG SET maxmemory"):
        health.require(changed)


def test_a_server_without_persistence_is_named_but_let_pass(changed: redis.Redis) -> None:
    changed.config_set("appendonly", "no")

    health.require(changed)

    (finding,) = [finding for finding in health.examine(changed) if not finding.ok]
    assert finding.name == "persistence"
    assert "appendonly yes" in finding.cure


def test_a_server_from_before_redis_six_is_refused_as_too_old() -> None:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), OldRedis) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_address[1]

        with redis.Redis(port=port) as client, pytest.raises(ConfigurationError, match=r"expected 6.2 or later; got 5 or older"):
            health.require(client)
        server.shutdown()


def test_an_absent_server_is_told_as_absent() -> None:
    with redis.Redis(port=free_port(), retry=None) as client, pytest.raises(StoreUnavailable, match="Redis does not answer"):
        health.require(client)


def test_the_skew_is_this_clock_against_the_servers(redis_client: redis.Redis) -> None:
    skew = health.skew_ms(redis_client, int(time.time() * 1000) + 60_000)

    assert 59_000 < skew < 61_000

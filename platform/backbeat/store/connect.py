"""Connections to Redis with the settings that this engine needs."""

from __future__ import annotations

from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.retry import Retry

from backbeat.conf import is_cluster
from backbeat.store.cluster import Cluster, nodes_in


def connect(url: str, timeout: float = 10.0) -> Redis:
    """A client for `url` (redis://, rediss://, unix://, redis+cluster://, rediss+cluster://); replies are text.

    The client never retries by itself: a write whose answer got lost may have happened, so only the caller, who knows
    whether its script is safe to repeat, may send it again. `timeout` (seconds) bounds every answer.
    """
    options = {
        "decode_responses": True,
        "socket_timeout": timeout,
        "socket_connect_timeout": min(timeout, 5.0),
        "health_check_interval": 15,
        "retry": Retry(NoBackoff(), 0),
    }
    return _cluster(url, options) if is_cluster(url) else Redis.from_url(url, **options)


def _cluster(url: str, options: dict[str, Any]) -> Cluster:
    # The rest of the URL as redis-py reads it, with one host in place of all.
    scheme, _, rest = url.partition("+cluster://")
    login, at, hosts = rest.rpartition("@")
    _, slash, query = hosts.partition("?")
    told = parse_url(f"{scheme}://{login}{at}node{slash}{query}")  # type: ignore[no-untyped-call]  # redis-py says nothing of it
    own = {name: value for name, value in told.items() if name not in ("host", "port", "db")}
    return Cluster(nodes_in(url), **{**options, **own})

"""Connections to Redis with the settings that this engine needs."""

from __future__ import annotations

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry


def connect(url: str, timeout: float = 10.0) -> Redis:
    """A client for `url` (redis://, rediss://, unix://); replies are text.

    The client never retries by itself: a write whose answer got lost may have happened, so only the caller, who knows
    whether its script is safe to repeat, may send it again. `timeout` (seconds) bounds every answer.
    """
    return Redis.from_url(
        url,
        decode_responses=True,
        socket_timeout=timeout,
        socket_connect_timeout=min(timeout, 5.0),
        health_check_interval=15,
        retry=Retry(NoBackoff(), 0),
    )

"""Messages that are no messages: on Redis anybody can push anything to a list, and kombu would take the worker down with it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from kombu.transport import redis

from backbeat.runtime.unacked import Unacked

log = logging.getLogger("backbeat.worker")

GARBAGE = (ValueError, TypeError, LookupError, AttributeError, RecursionError)
"""What reading a foreign thing as a message may raise; a lost connection is none of these."""


def guarded(connection: Any) -> Any:
    """A connection of kombu that drops what can't be read as a message, and says so."""
    guard = _GUARDS.get(connection.get_transport_cls())
    if guard is not None:
        # By its name, since `inspect stats` sends this attribute to whoever asks.
        connection.transport_cls = f"{__name__}:{guard}"
    return connection


class _Careful:
    """What kombu's channels on Redis lack."""

    QoS = Unacked

    @contextmanager
    def conn_or_acquire(self, client: Any = None) -> Iterator[Any]:
        # kombu makes a client for each use, which takes redis-py as long as sending ten messages.
        yield client or self._one_client

    @cached_property
    def _one_client(self) -> Any:
        return self._create_client()  # type: ignore[attr-defined]  # of the channel that it is mixed into

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[misc]  # of the channel that it is mixed into
        except GARBAGE as error:
            log.error("something in a queue is no message, and is dropped: %s: %s", type(error).__name__, error)  # noqa: TRY400 - it says all
            return True


class _Channel(_Careful, redis.Channel):  # type: ignore[misc]  # kombu is untyped
    pass


class _SentinelChannel(_Careful, redis.SentinelChannel):  # type: ignore[misc]  # as above
    pass


class RedisTransport(redis.Transport):  # type: ignore[misc]  # as above
    """kombu's, which survives foreign things in a list."""

    Channel = _Channel


class SentinelTransport(redis.SentinelTransport):  # type: ignore[misc]  # as above
    """The same for a server that sentinels name."""

    Channel = _SentinelChannel


_GUARDS = {redis.Transport: RedisTransport.__name__, redis.SentinelTransport: SentinelTransport.__name__}

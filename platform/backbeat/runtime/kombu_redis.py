"""kombu's transport on Redis with what we need beyond it.

Anybody can push anything to a list, and kombu would take the worker down with what is no message. It makes a client for
each use. And without Celery's event loop, in the gevent pool, it sleeps for two seconds while a slot becomes free.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from kombu.transport import redis

from backbeat.runtime.unacked import Unacked

log = logging.getLogger("backbeat.worker")

GARBAGE = (ValueError, TypeError, LookupError, AttributeError, RecursionError)
"""What reading a foreign thing as a message may raise; a lost connection is none of these."""


SOON, LATER = 0.002, 0.05
"""Seconds between two looks whether a worker that had its hands full can take another message: the first, and the longest."""


def careful(connection: Any) -> Any:
    """A connection of kombu with our transport, when it is one to Redis; else as it is."""
    transport = _TRANSPORTS.get(connection.get_transport_cls())
    if transport is not None:
        # By its name, since `inspect stats` sends this attribute to whoever asks.
        connection.transport_cls = f"{__name__}:{transport}"
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


class _Awake:
    """What kombu's transports on Redis lack."""

    def drain_events(self, connection: Any, timeout: float | None = None) -> None:
        # Only loops without file events come here. An acknowledgement of another greenlet frees a slot, but wakes no poll.
        until = float("inf") if timeout is None else time.monotonic() + timeout
        pause = SOON
        while self._full() and (left := until - time.monotonic()) > 0:
            try:
                super().drain_events(connection, timeout=min(pause, left))  # type: ignore[misc]  # of the transport
            except socket.timeout:  # noqa: UP041 - gevent's is none of the built-in ones
                pause = min(2 * pause, LATER)
            else:
                return
        rest = None if timeout is None else max(0.0, until - time.monotonic())
        super().drain_events(connection, timeout=rest)  # type: ignore[misc]  # as above

    def _full(self) -> bool:
        channels = self.cycle._channels  # type: ignore[attr-defined]  # noqa: SLF001 - kombu has no other way
        return any(channel.active_queues and not channel.qos.can_consume() for channel in channels)


class RedisTransport(_Awake, redis.Transport):  # type: ignore[misc]  # as above
    """kombu's, which survives foreign things in a list."""

    Channel = _Channel


class SentinelTransport(_Awake, redis.SentinelTransport):  # type: ignore[misc]  # as above
    """The same for a server that sentinels name."""

    Channel = _SentinelChannel


_TRANSPORTS = {redis.Transport: RedisTransport.__name__, redis.SentinelTransport: SentinelTransport.__name__}

"""Messages that are no messages: on Redis anybody can push anything to a list, and kombu would take the worker down with it."""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

log = logging.getLogger("backbeat.worker")

GARBAGE = (ValueError, TypeError, LookupError, AttributeError, RecursionError)
"""What reading a foreign thing as a message may raise; a lost connection is none of these."""


def guarded(connection: Any) -> Any:
    """A connection of kombu that drops what can't be read as a message, and says so."""
    transport = connection.get_transport_cls()
    if hasattr(getattr(transport, "Channel", None), "_brpop_read"):
        connection.transport_cls = _guarded_transport(transport)
    return connection


@cache
def _guarded_transport(transport: type[Any]) -> type[Any]:
    class Channel(transport.Channel):  # type: ignore[misc, name-defined]  # known only now
        def _brpop_read(self, **options: Any) -> Any:
            try:
                return super()._brpop_read(**options)
            except GARBAGE as error:
                log.error("something in a queue is no message, and is dropped: %s: %s", type(error).__name__, error)  # noqa: TRY400 - it says all
                return True

    return type("Transport", (transport,), {"Channel": Channel})

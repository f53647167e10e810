"""Calling Redis through an outage."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from redis.exceptions import BusyLoadingError, ConnectionError, TimeoutError  # noqa: A004 - redis-py's own names

T = TypeVar("T")

OUTAGE = (ConnectionError, TimeoutError, BusyLoadingError)
"""What redis-py raises when the server can't be reached; anything else is a mistake of ours."""

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0


def insist(call: Callable[[], T], patience: float, on_outage: Callable[[], object] | None = None) -> T:
    """Repeat `call` until Redis answers, for at most `patience` seconds; then the outage is raised.

    Only for calls that are safe to repeat: an answer that got lost may belong to a write that happened.
    """
    pause, deadline = FIRST_PAUSE, time.monotonic() + patience
    while True:
        try:
            return call()
        except OUTAGE:
            if on_outage is not None:
                on_outage()
            if time.monotonic() + pause > deadline:
                raise
            time.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

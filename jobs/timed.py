"""Jobs that only take time: what the nodes of recorded graphs become when `backbeat dag import` takes them over."""

from __future__ import annotations

import time

from backbeat import job


@job
def sleep(seconds: float = 0.0) -> None:
    """Sleep for so many seconds; nothing at all for 0."""
    if seconds > 0:
        time.sleep(seconds)

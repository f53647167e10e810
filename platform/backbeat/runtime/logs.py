"""Keeping the log of one attempt: its first and last lines, within a limit."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class KeptLog(logging.Handler):
    """Collects formatted lines, at most `limit` bytes: the first half as they come, then a moving tail."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        self._room = limit // 2
        self._head: list[str] = []
        self._tail: deque[str] = deque()
        self._tail_size = 0
        self._limit = limit - self._room
        self._cut = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one record."""
        line = self.format(record)
        size = len(line.encode("utf-8", "replace")) + 1
        if not self._tail and size <= self._room:
            self._head.append(line)
            self._room -= size
            return
        self._tail.append(line[-self._limit :])
        self._tail_size += min(size, self._limit)
        while self._tail_size > self._limit and len(self._tail) > 1:
            self._tail_size -= min(len(self._tail.popleft().encode("utf-8", "replace")) + 1, self._limit)
            self._cut += 1

    @property
    def text(self) -> str:
        """What was kept, with a line that says how many were cut."""
        gap = [f"… {self._cut} lines cut …"] if self._cut else []
        return "\n".join([*self._head, *gap, *self._tail])


@contextmanager
def captured(limit: int) -> Iterator[KeptLog]:
    """A handler for one attempt; the caller adds it to the run's own logger."""
    kept = KeptLog(limit)
    try:
        yield kept
    finally:
        kept.close()

"""Keeping the log of one attempt: its first and last lines, within a limit."""

from __future__ import annotations

import logging
from collections import deque

from backbeat.runtime.context import CurrentRun
from backbeat.runtime.hiding import Hiding


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


class AttemptLog:
    """The log of one attempt, which begins when its code logs something. It knows nothing of the run until then, so that no
    circle of the two is left for Python to look for.
    """

    __slots__ = ("_kept", "_limit")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: KeptLog | None = None

    def begin(self, run: CurrentRun, logger: logging.Logger) -> None:
        """Keep what goes through this logger of the run from now on, without the run's secrets."""
        self._kept = KeptLog(self._limit)
        logger.addFilter(Hiding(run).filter)
        logger.addHandler(self._kept)

    @property
    def text(self) -> str:
        """What was kept."""
        return "" if self._kept is None else self._kept.text

    def close(self) -> None:
        """The attempt has ended."""
        if self._kept is not None:
            self._kept.close()

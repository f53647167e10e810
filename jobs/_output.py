"""What a program prints, in bounded memory: its first and last bytes, and its lines to a logger."""

from __future__ import annotations

import logging
import re

LONGEST_LINE = 2000
"""Bytes after which a line is logged in parts, so that output without line ends needs no more memory than that."""

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Kept:
    """The head and the tail of a stream of bytes; what lies between is counted and dropped."""

    def __init__(self, limit: int) -> None:
        self.room = limit // 2
        self.seen = 0
        self._head = b""
        self._tail = b""

    def add(self, chunk: bytes) -> None:
        """Take the next bytes of the stream."""
        self.seen += len(chunk)
        free = self.room - len(self._head)
        self._head += chunk[:free]
        self._tail = (self._tail + chunk[free:])[-self.room :]

    def text(self) -> str:
        """Everything when it fits; else head and tail around a line that says how many bytes were cut."""
        cut = self.seen - len(self._head) - len(self._tail)
        if not cut:
            return _text(self._head + self._tail)
        return f"{_text(self._head)}\n[... {cut} bytes cut ...]\n{_text(self._tail)}"

    def last(self, size: int) -> str:
        """The last bytes as text, for an error message."""
        return _text((self._head + self._tail)[-size:]).strip()


class Lines:
    """Hands whole lines to a logger, without control characters, until a budget of bytes is spent."""

    def __init__(self, log: logging.Logger, budget: int) -> None:
        self._log = log
        self._left = budget
        self._rest = b""

    def add(self, chunk: bytes) -> None:
        """Take the next bytes of the stream and log the lines that are complete."""
        if self._left <= 0:
            return
        *whole, self._rest = (self._rest + chunk[: self._left]).split(b"\n")
        self._left -= len(chunk)
        for line in whole:
            self._say(line)
        while len(self._rest) > LONGEST_LINE:
            self._say(self._rest[:LONGEST_LINE])
            self._rest = self._rest[LONGEST_LINE:]
        if self._left <= 0:
            self.close()
            self._log.info("further output is not logged")

    def close(self) -> None:
        """Log the last line, which may lack its line end."""
        if self._rest:
            self._say(self._rest)
        self._rest = b""

    def _say(self, line: bytes) -> None:
        self._log.info("%s", _CONTROL.sub("", _text(line)))


def _text(raw: bytes) -> str:
    # PostgreSQL takes no NUL in text or JSON, so one such byte would keep the whole run out of the history.
    return raw.decode(errors="replace").replace("\0", "\N{REPLACEMENT CHARACTER}")

"""Where pool processes write which run they have at hand that came without a message: memory that their parent shares."""

from __future__ import annotations

import mmap
import os
import struct

PLACES = 1024
"""A process has the place that its id leads to; when another one of this pool has it, it has none."""
SIZE = 512
_HEAD = struct.Struct("=IH")


class Board:
    """Made by the parent before it forks. Each process writes to its own place; the parent reads all."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, PLACES * SIZE)

    def begin(self, process: int) -> bool:
        """Take the place of this process; False when a living one has it."""
        at = _place(process)
        before, _ = _HEAD.unpack_from(self._memory, at)
        if before and before != process and _lives(before):
            return False
        _HEAD.pack_into(self._memory, at, process, 0)
        return True

    def write(self, process: int, run_id: str) -> None:
        """The run that a process has at hand now; empty for none. One whose id is too long for its place is not seen."""
        at, text = _place(process), run_id.encode()
        # No length while the text changes: the parent may look at any time.
        _HEAD.pack_into(self._memory, at, process, 0)
        if text and len(text) <= SIZE - _HEAD.size:
            self._memory[at + _HEAD.size : at + _HEAD.size + len(text)] = text
            _HEAD.pack_into(self._memory, at, process, len(text))

    def read(self, process: int) -> str:
        """The run that a process has at hand, if it came without a message."""
        at = _place(process)
        seen = self._memory[at : at + SIZE]
        owner, length = _HEAD.unpack_from(seen)
        if owner != process or not length or seen != self._memory[at : at + SIZE]:
            return ""
        return seen[_HEAD.size : _HEAD.size + length].decode(errors="replace")


def _place(process: int) -> int:
    return process % PLACES * SIZE


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True

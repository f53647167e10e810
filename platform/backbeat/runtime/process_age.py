"""For how long a process of this machine has been there, asked of the kernel."""

from __future__ import annotations

import os
import time
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_GONE = ("Z", "X")
"""States of a process that has ended and whose parent has not heard of it yet."""


def process_age(pid: int) -> float | None:
    """Seconds since a process began; None where that can't be told: it is gone, or this is no Linux."""
    try:
        # The name, in brackets, may hold spaces; the state is the third field, the start the 22nd, in ticks since the boot.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return None if fields[0] in _GONE else time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / _TICKS
    except (OSError, ValueError, IndexError, AttributeError):
        return None

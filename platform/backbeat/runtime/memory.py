"""How much memory a process takes, asked of the kernel: no package is needed for one number."""

from __future__ import annotations

import os
from pathlib import Path

LOOK_EVERY = 0.5
"""Seconds between two looks at a process whose run has a limit."""
_PAGE = os.sysconf("SC_PAGE_SIZE")


def resident(process: int) -> int:
    """Bytes of memory that a process has; 0 where that can't be told: it is gone, or this is no Linux."""
    try:
        return int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1]) * _PAGE
    except (OSError, ValueError, IndexError):
        return 0

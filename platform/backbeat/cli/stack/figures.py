"""What a stack of processes costs, where the system tells (Linux)."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Cost:
    """CPU in percent of one core; memory in bytes, shared pages counted once (PSS) and once per process (RSS)."""

    processes: int
    cpu_percent: float
    pss: int
    rss: int

    def __str__(self) -> str:
        return (
            f"{self.processes} processes, CPU {self.cpu_percent:.1f} % of one core, "
            f"memory {self.pss / 2**20:.0f} MiB (each page once; {self.rss / 2**20:.0f} MiB by process)"
        )


def measure(roots: Iterable[int], seconds: float) -> Cost | None:
    """The cost of these processes and all below them over some seconds; None where /proc does not tell."""
    if not Path("/proc/self/smaps_rollup").exists():
        return None
    pids = sorted(set(_with_children(roots)))
    before = {pid: _ticks(pid) for pid in pids}
    began = time.monotonic()
    time.sleep(seconds)
    # A process that ended meanwhile reads zero, and what it used is not known any more.
    used = sum(max(0, _ticks(pid) - ticks) for pid, ticks in before.items()) / os.sysconf("SC_CLK_TCK")
    memory = [_memory(pid) for pid in pids]
    return Cost(
        len(pids),
        100 * used / (time.monotonic() - began),
        sum(pss for pss, _ in memory),
        sum(rss for _, rss in memory),
    )


def _with_children(roots: Iterable[int]) -> Iterator[int]:
    for pid in roots:
        yield pid
        with suppress(OSError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                yield from _with_children(int(child) for child in (task / "children").read_text().split())


def _ticks(pid: int) -> int:
    with suppress(OSError):
        # The name, in brackets, may hold spaces; user and system time are the 14th and 15th field.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])
    return 0


def _memory(pid: int) -> tuple[int, int]:
    facts: dict[str, int] = {}
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            name, _, rest = line.partition(":")
            if name in ("Pss", "Rss"):
                facts[name] = int(rest.split()[0]) * 1024
    return facts.get("Pss", 0), facts.get("Rss", 0)

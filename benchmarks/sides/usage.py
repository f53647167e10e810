"""CPU and memory of processes, as Linux counts them."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used so far."""

    cpu_s: float
    mb: float
    """Its share of memory: pages that several processes map count in parts (PSS)."""


def busy_s() -> float:
    """Seconds of processor time that the whole machine has spent at work so far, whoever did it."""
    user, nice, system, _, _, irq, softirq, *_ = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq) / _TICK


def usage_of(pid: int) -> Usage:
    """Of one process."""
    parts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    pss = next((int(line.split()[1]) for line in rollup if line.startswith("Pss:")), 0)
    return Usage((int(parts[11]) + int(parts[12])) / _TICK, pss / 1024)


def children_of(pid: int) -> list[int]:
    """The processes that it started and that live."""
    return [int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]


def with_children(pid: int) -> Usage:
    """Of a process and those that it started; of those that have ended, the time alone."""
    parts = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    every = [usage_of(pid)]
    for child in children_of(pid):
        # One may end meanwhile, as PostgreSQL's own do.
        with suppress(FileNotFoundError, ProcessLookupError):
            every.append(usage_of(child))
    reaped = (int(parts[13]) + int(parts[14])) / _TICK
    return Usage(sum(one.cpu_s for one in every) + reaped, sum(one.mb for one in every))

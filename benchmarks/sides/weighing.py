"""The memory of a worker and its children, as the kernel counts it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

TIMES = 10
ALLOWED = 0.03
"""By how much of itself memory may grow between the second tenth of the jobs and the last; before, a worker warms up."""


class Scales:
    """Weighs each tenth of the jobs."""

    def __init__(self, total: int) -> None:
        self._step, self._next = total // TIMES, total // TIMES
        self._weights: list[tuple[int, int]] = []

    def look(self, process: int, done: int) -> None:
        """Weigh when a tenth more is done."""
        if done >= self._next:
            self._weights.append((done, sum(map(resident, family(process)))))
            self._next += self._step

    def result(self) -> dict[str, Any]:
        """KiB by jobs done, and how much was added since the second tenth, as a part of what there was."""
        weights = self._weights
        return {"weights": weights, "grown": weights[-1][1] / weights[1][1] - 1}


def family(process: int) -> list[int]:
    """A process and all below it."""
    parents = {int(one.name): _stat(one) for one in Path("/proc").iterdir() if one.name.isdigit()}
    found = [process]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def resident(process: int) -> int:
    """KiB of memory of its own that a process has: what it shares with others is counted by parts."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


def _stat(place: Path) -> int:
    try:
        return int((place / "stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return 0

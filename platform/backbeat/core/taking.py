"""What an importer makes of one thing that another scheduler had: a job, or the reason why not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from backbeat.core.job import JobSpec, Schedule


@dataclass(frozen=True, slots=True)
class Taken:
    """An entry and its job. `place` is its line or its name there; `notes` say what will be different, and the cure."""

    place: int | str
    text: str
    spec: JobSpec
    notes: tuple[str, ...] = ()
    since: int | None = None
    """The last occurrence that the other scheduler fired (epoch ms): ours go on after it."""

    @property
    def schedule(self) -> Schedule:
        """The one schedule of the job."""
        return self.spec.schedules[0]


@dataclass(frozen=True, slots=True)
class Refused:
    """An entry that can't be taken, and why."""

    place: int | str
    text: str
    reason: str


class Names:
    """Gives each job a name of its own: `backup`, `backup-2`, `backup-3`, in the order of asking."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = set(taken)
        self._last: dict[str, int] = {}

    def free(self, wanted: str) -> str:
        """`wanted`, or `wanted-2` and so on when it is taken."""
        name, number = wanted, self._last.get(wanted, 1)
        while name in self._taken:
            number += 1
            name = f"{wanted}-{number}"
        self._last[wanted] = number
        self._taken.add(name)
        return name

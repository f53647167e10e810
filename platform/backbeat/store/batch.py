"""What one script is told of the entries that it advances. What many have in common travels once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from backbeat.core.message import Mould, arguments_in, arguments_of, dumps


class Fire(NamedTuple):
    """One run of each entry that takes a step: all of it but the entry's name and its arguments."""

    nominal: int
    """Epoch ms."""
    moment: str
    """The nominal time as run ids have it."""
    mould: Mould
    facts: str
    """More of the run's fields, packed."""
    due: int
    """Effective time, epoch ms."""
    group: Mould | None = None
    """Of the message that it may share with others."""


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """What becomes of every entry with this timing, these policies and this place: from the score that was read to the next.

    `told` says how fires of entries from other schedulers' storage are noted; see lua/fire.lua. `limit` is how many runs
    an entry may have in all; 0 is no limit. `batch` is how many runs one message may carry.
    """

    seen: str
    next: str
    fires: Sequence[Fire]
    omissions: Sequence[Sequence[Any]]
    queue: str
    overlap: str
    told: str = ""
    limit: int = 0
    batch: int = 1


class Batch:
    """The entries of one script."""

    def __init__(self) -> None:
        self.size = 0
        """Runs and entries: what the script's time follows."""
        self._ids: list[str] = []
        self._taken: list[int] = []
        self._given: list[int] = []
        self._steps: dict[Step, int] = {}
        self._arguments: dict[str, int] = {}

    def add(self, schedule_id: str, arguments: str, step: Step) -> None:
        """One entry more."""
        # Numbers count from 1, as Lua does.
        self._ids.append(schedule_id)
        self._taken.append(self._steps.setdefault(step, len(self._steps) + 1))
        self._given.append(self._arguments.setdefault(arguments, len(self._arguments) + 1))
        self.size += len(step.fires) + 1

    def due(self) -> Counter[int]:
        """Effective time (epoch ms) -> how many runs of the batch have it."""
        steps, times = list(self._steps), Counter(self._taken)
        found: Counter[int] = Counter()
        for number, step in enumerate(steps, 1):
            for fire in step.fires:
                found[fire.due] += times[number]
        return found

    def argv(self) -> list[str]:
        """The last arguments of lua/fire.lua."""
        moulds: dict[Mould, int] = {}
        steps = [_plain(step, moulds) for step in self._steps]
        batch = {"ids": self._ids, "taken": self._taken, "given": self._given, "steps": steps, "moulds": list(moulds)}
        if any(step.batch > 1 for step in self._steps):
            batch["nothing"] = arguments_in(arguments_of((), {}))
        argv = [dumps(batch)]
        for arguments in self._arguments:
            argv += (arguments, arguments_in(arguments))
        return argv


def _plain(step: Step, moulds: dict[Mould, int]) -> dict[str, Any]:
    """A step as Lua reads it; `moulds` numbers those that it needs."""

    def number(mould: Mould) -> int:
        return moulds.setdefault(mould, len(moulds) + 1)

    fires = [
        (fire.nominal, fire.moment, number(fire.mould), fire.facts, number(fire.group) if fire.group else 0)
        for fire in step.fires
    ]
    plain: dict[str, Any] = {"seen": step.seen, "next": step.next, "fires": fires, "omissions": step.omissions}
    return plain | {"queue": step.queue, "overlap": step.overlap, "told": step.told, "limit": step.limit, "batch": step.batch}

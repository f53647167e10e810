"""What a backfill does with each occurrence of a range: facts in, slots out.

An occurrence's runs are its own id, then the ids of that run's retries, `…~1`, `…~2`; the last one counts. A slot names the
run that it makes when the backfill is ordered, so that whoever carries it out, and however often, makes that one run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from backbeat.core.calendar import Fate
from backbeat.core.entry import Timing
from backbeat.core.keys import occurrence_id, retried_id
from backbeat.core.state import UNFINISHED, RunState
from backbeat.errors import DefinitionError

MOST = 100_000
"""Occurrences in one backfill; each run to be made is a row."""


class Mode(StrEnum):
    """Which occurrences a backfill runs."""

    MISSING = "missing"
    MISSING_AND_FAILED = "missing+failed"
    ALL = "all"


class Act(StrEnum):
    """What becomes of an occurrence."""

    CREATE = "create"
    EXISTS = "exists"
    SKIP = "skip"


class Stage(StrEnum):
    """Where a backfill stands. While `cancelling`, runs that it made are still being stopped."""

    RUNNING = "running"
    PAUSED = "paused"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    DONE = "done"


OPEN = frozenset({Stage.RUNNING, Stage.PAUSED, Stage.CANCELLING})
"""Stages in which something is still to come."""
_VERBS: dict[str, tuple[frozenset[Stage], Stage]] = {
    "pause": (frozenset({Stage.RUNNING}), Stage.PAUSED),
    "resume": (frozenset({Stage.PAUSED}), Stage.RUNNING),
    "cancel": (frozenset({Stage.RUNNING, Stage.PAUSED}), Stage.CANCELLING),
}
VERBS = tuple(_VERBS)
"""What a person may ask of a backfill."""


def after(verb: str, stage: Stage) -> Stage | None:
    """The stage that a verb leads to, None when it asks for what is so already. Raises KeyError for what is not allowed."""
    allowed, then = _VERBS[verb]
    if stage in allowed:
        return then
    if stage is then or (verb == "cancel" and stage is Stage.CANCELLED):
        return None
    raise KeyError(verb)


@dataclass(frozen=True, slots=True)
class Had:
    """The last run that an occurrence had."""

    run_id: str
    state: RunState


@dataclass(frozen=True, slots=True)
class Slot:
    """One occurrence (nominal time, epoch ms): what becomes of it, by which run, and why."""

    nominal: int
    act: Act
    run_id: str
    why: str


def occurrences(timing: Timing, since: int, until: int, most: int = MOST) -> list[int]:
    """The nominal times with `since` <= time < `until` (epoch ms). Raises DefinitionError for more than `most`."""
    found: list[int] = []
    moment = timing.next(since - 1)
    while moment is not None and moment < until:
        if len(found) == most:
            raise DefinitionError(
                "range", f"expected at most {most:,} occurrences; got more. Backfill a shorter range at a time."
            )
        found.append(moment)
        moment = timing.next(moment)
    return found


def slots(
    schedule_id: str, timing: Timing, moments: Iterable[int], had: Mapping[int, Had], mode: Mode, horizon: int
) -> Iterator[Slot]:
    """What becomes of each occurrence. From `horizon` (epoch ms) on, occurrences are still the scheduler's to decide."""
    for moment in moments:
        own = occurrence_id(schedule_id, moment)
        if moment >= horizon:
            yield Slot(moment, Act.SKIP, own, "the scheduler has still to decide it")
        elif timing.fate(moment) is not Fate.FIRES:
            yield Slot(moment, Act.SKIP, own, f"calendar {timing.calendar} closes the day")
        else:
            yield _slot(moment, own, schedule_id, had.get(moment), mode)


def _slot(moment: int, own: str, schedule_id: str, had: Had | None, mode: Mode) -> Slot:
    if had is None:
        return Slot(moment, Act.CREATE, own, "it has no run")
    if had.state in UNFINISHED:
        return Slot(moment, Act.SKIP, had.run_id, f"its run is {had.state}")
    ended = f"its run ended as {had.state}"
    wanted = mode is Mode.ALL or (mode is Mode.MISSING_AND_FAILED and had.state is not RunState.SUCCEEDED)
    if not wanted:
        return Slot(moment, Act.EXISTS, had.run_id, ended)
    return Slot(moment, Act.CREATE, retried_id(had.run_id, schedule_id.partition("#")[0]), ended)


def counts(planned: Sequence[Slot]) -> dict[str, dict[str, int]]:
    """How many occurrences there are by what becomes of them, and why."""
    found: dict[str, dict[str, int]] = {act.value: {} for act in Act}
    for (act, why), count in sorted(Counter((slot.act, slot.why) for slot in planned).items()):
        found[act][why] = count
    return found


def estimate(runs: int, each: float | None, at_once: int) -> float | None:
    """Seconds that so many runs of this length take, `at_once` side by side; None when no length is known."""
    return None if each is None else -(-runs // at_once) * each

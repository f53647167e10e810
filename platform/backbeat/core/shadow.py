"""What another scheduler did, held against what ours would have done. Pure: it is told both."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from backbeat.core.entry import Timing
from backbeat.core.when import Every

LIMIT = 100_000
"""Occurrences predicted for one entry, at most: a watch of a day at one a second."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the other scheduler remembers of an entry: its last fire (epoch ms), and how many there were."""

    last: int | None
    count: int


@dataclass(frozen=True, slots=True)
class Watched:
    """One entry over a stretch of time. `fires` are the moments that were seen; some may have passed unseen."""

    name: str
    timing: Timing
    first: Snapshot
    final: Snapshot
    fires: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """How the two compare for one entry. Times are epoch ms."""

    name: str
    predicted: int
    fired: int
    missing: tuple[int, ...] = ()
    """Occurrences for which no fire was seen."""
    extra: tuple[int, ...] = ()
    """Fires that are no occurrence."""
    drift: int = 0
    """The longest time between an occurrence and its fire (ms); negative when it was fired early."""

    @property
    def agrees(self) -> bool:
        """Whether both fire as often, at the same times."""
        return self.predicted == self.fired and not self.missing and not self.extra


def judge(watched: Watched, since: int, until: int, tolerance: int, grace: int) -> Verdict:
    """Compare one entry from `since` to `until` (epoch ms).

    A fire belongs to the occurrence nearest to it, when that is no further than `tolerance` ms, or for intervals half
    their length, because other schedulers count the next one from the last fire and so drift. What was due within
    `grace` ms before the end may still be reported, and is left out unless it was.
    """
    fired, when = watched.final.count - watched.first.count, watched.timing.when
    # What was fired before the watch began, but not written down yet, is counted by the end of it.
    begin = since if watched.first.last is None or not fired else max(watched.first.last, since - grace)
    end = until - grace
    if fired and watched.final.last is not None:
        # An interval that drifted may have been fired before its time.
        end = max(end, watched.final.last + (when.ms // 2 if isinstance(when, Every) else 0))
    predicted = _occurrences(watched.timing, begin, end)
    matches = {fire: _nearest(predicted, fire, _reach(watched, tolerance)) for fire in watched.fires}
    met = {moment for moment in matches.values() if moment is not None}
    unseen = fired != len(watched.fires)
    drifts = [fire - moment for fire, moment in matches.items() if moment is not None]
    return Verdict(
        watched.name,
        len(predicted),
        fired,
        () if unseen else tuple(moment for moment in predicted if moment not in met),
        tuple(fire for fire, moment in matches.items() if moment is None),
        max(drifts, key=abs, default=0),
    )


def _reach(watched: Watched, tolerance: int) -> int:
    when = watched.timing.when
    return max(tolerance, when.ms // 2) if isinstance(when, Every) else tolerance


def _occurrences(timing: Timing, since: int, until: int) -> list[int]:
    found: list[int] = []
    moment = timing.next(since)
    while moment is not None and moment <= until and len(found) < LIMIT:
        found.append(moment)
        moment = timing.next(moment)
    return found


def _nearest(moments: Sequence[int], moment: int, reach: int) -> int | None:
    at = bisect_left(moments, moment)
    close = [one for one in moments[max(0, at - 1) : at + 1] if abs(one - moment) <= reach]
    return min(close, key=lambda one: abs(one - moment), default=None)

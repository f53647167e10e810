"""When a schedule is due: the pure answer to "what is the next time after this one?". Epoch milliseconds, UTC."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import islice, takewhile

from backbeat.core.cron import parse
from backbeat.core.describe import describe
from backbeat.core.notes import notes
from backbeat.core.recurrence import recurrence
from backbeat.core.solar import Sun
from backbeat.core.wall import WallClock
from backbeat.core.when import Cron, Every, Once, RRule, Solar, When
from backbeat.core.zone import load

__all__ = ["check", "describe", "last_before", "next_after", "notes", "upcoming"]

_HELD = 128
"""At most so many instants does a timeline keep ready."""
_SPAN = 400 * 86_400_000
"""How far ahead of the question it looks for them (ms); a job that runs once in four years needs one."""
_LOOKS_BACK = [1000 * seconds for seconds in (60, 3600, 86_400, 32 * 86_400, 400 * 86_400, 50 * 366 * 86_400)]
_NEVER = 1 << 62
_EARLIEST, _LATEST = -62_000_000_000_000, 252_000_000_000_000
"""Years 5 to 9955: Python's calendar has little more, and no schedule needs it."""


def next_after(when: When, after_ms: int) -> int | None:
    """The first instant strictly after `after_ms`, None when there is none. Raises BadSchedule."""
    if isinstance(when, Every):
        return after_ms + when.ms - (after_ms - when.anchor_ms) % when.ms
    if isinstance(when, Once):
        return when.ms if after_ms < when.ms else None
    return _timeline(when).after(after_ms)


def upcoming(when: When, after_ms: int, n: int) -> list[int]:
    """The next n instants after `after_ms`; fewer when the schedule ends. Raises BadSchedule."""
    if isinstance(when, (Every, Once)):
        return list(islice(_from(when, after_ms), n))
    return _timeline(when).following(after_ms, n)


def last_before(when: When, before_ms: int) -> int | None:
    """The last instant strictly before `before_ms`, None when there is none. Raises BadSchedule."""
    if isinstance(when, Every):
        return before_ms - 1 - (before_ms - 1 - when.anchor_ms) % when.ms
    for back in _LOOKS_BACK:
        since = max(before_ms - back, _EARLIEST)
        earlier = list(takewhile(lambda moment: moment < before_ms, _from(when, since)))
        if earlier:
            return earlier[-1]
    return None


def _from(when: When, after_ms: int) -> Iterator[int]:
    moment = next_after(when, after_ms)
    while moment is not None:
        yield moment
        moment = next_after(when, moment)


def check(when: When) -> None:
    """Raise BadSchedule for bad syntax, an unknown zone, or an expression that never comes."""
    if not isinstance(when, (Every, Once)):
        _timeline(when)


class Timeline:
    """The instants of one schedule, with a stretch of them held ready, sorted, for everybody who asks near it."""

    __slots__ = ("_ahead", "_held", "_instants")

    def __init__(self, instants: Callable[[int], Iterator[int]]) -> None:
        self._instants = instants
        self._ahead = 1
        self._held: tuple[int, list[int]] = (0, [])

    def after(self, moment: int) -> int | None:
        """The first instant after a moment."""
        since, held = self._held
        place = bisect_right(held, moment)
        if moment < since or place == len(held):
            held, place = self._look_ahead(moment), 0
        found = held[place]
        return None if found == _NEVER else found

    def following(self, moment: int, n: int) -> list[int]:
        """The first n instants after a moment, in one go."""
        return list(islice(self._all(moment), n))

    def _all(self, moment: int) -> Iterator[int]:
        instants = self._instants(max(moment, _EARLIEST) // 1000) if moment < _LATEST else iter(())
        return (instant * 1000 for instant in instants)

    def _look_ahead(self, moment: int) -> list[int]:
        held: list[int] = []
        for instant in self._all(moment):
            held.append(instant)
            if len(held) >= self._ahead or held[-1] > moment + _SPAN:
                break
        else:
            held.append(_NEVER)
        # Asked once, a timeline costs little; asked again and again, it looks ever further ahead.
        self._ahead = min(self._ahead * 2, _HELD)
        # One assignment, so that another thread sees the old stretch or the new one.
        self._held = (moment, held)
        return held


@lru_cache(maxsize=8192)
def _timeline(when: Cron | RRule | Solar) -> Timeline:
    """The timeline of a schedule, shared by all who ask for the same one. A new kind of schedule is read here."""
    match when:
        case Cron():
            rule, zone = parse(when)
            load(zone)
            return Timeline(WallClock(rule, zone, when.gap, when.fold).after)
        case RRule():
            return Timeline(WallClock(recurrence(when), when.tz, when.gap, when.fold).after)
        case Solar():
            return Timeline(Sun(when).after)

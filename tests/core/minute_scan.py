"""The oracle of the occurrence function: look at every minute of a few days and apply the rule as it is written.

It shares nothing with the engine but zoneinfo: expressions come with the sets that they mean.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from hypothesis import strategies as st

MINUTE = 60
NAMED_ZONES = (
    "Australia/Lord_Howe",
    "Pacific/Chatham",
    "Antarctica/Troll",
    "Pacific/Apia",
    "America/St_Johns",
    "Africa/Casablanca",
)
ZONES = sorted(set(available_timezones()) - {"Factory", "localtime"})


@dataclass(frozen=True)
class Field:
    """A field's text, and the values that it means by the manual."""

    text: str
    values: frozenset[int]


@dataclass(frozen=True)
class Expression:
    """Five fields of Debian cron."""

    minute: Field
    hour: Field
    day: Field
    weekday: Field

    @property
    def text(self) -> str:
        """As a user writes it."""
        return f"{self.minute.text} {self.hour.text} {self.day.text} * {self.weekday.text}"

    @property
    def elapsing(self) -> bool:
        """Debian's test for a wildcard job."""
        return self.minute.text.startswith("*") or self.hour.text.startswith("*")

    def matches(self, wall: datetime) -> bool:
        """Whether a wall-clock minute is named."""
        day, weekday = wall.day in self.day.values, wall.isoweekday() % 7 in self.weekday.values
        both = self.day.text.startswith("*") or self.weekday.text.startswith("*")
        right_day = (day and weekday) if both else (day or weekday)
        return wall.minute in self.minute.values and wall.hour in self.hour.values and right_day


class Minutes:
    """Every minute around a moment: its wall time, and for every wall time the minutes that show it."""

    def __init__(self, zone: str, moment: int, hours: int = 28) -> None:
        there = ZoneInfo(zone)
        self.utc = range(moment - hours * 3600, moment + hours * 3600, MINUTE)
        self.walls = [datetime.fromtimestamp(utc, there).replace(tzinfo=None) for utc in self.utc]
        self.showing: dict[datetime, list[int]] = defaultdict(list)
        for utc, wall in zip(self.utc, self.walls, strict=True):
            self.showing[wall].append(utc)

    def fires(self, expression: Expression, gap: str, fold: str) -> list[int]:
        """When a job fires, in UTC seconds."""
        if expression.elapsing:
            return [utc for utc, wall in zip(self.utc, self.walls, strict=True) if expression.matches(wall)]
        found: set[int] = set()
        for wall in self._every_wall():
            if expression.matches(wall):
                found.update(self._of(wall, gap, fold))
        return sorted(found)

    def _every_wall(self) -> Iterator[datetime]:
        wall, last = min(self.walls), max(self.walls)
        while wall <= last:
            yield wall
            wall += timedelta(minutes=1)

    def _of(self, wall: datetime, gap: str, fold: str) -> list[int]:
        shown = self.showing.get(wall, [])
        if not shown:
            return [self._after(wall)] if gap == "shift" else []
        return {"first": shown[:1], "last": shown[-1:], "both": shown}[fold]

    def _after(self, wall: datetime) -> int:
        return next(utc for utc, here in zip(self.utc, self.walls, strict=True) if here > wall)


@lru_cache(maxsize=4096)
def transitions(zone: str, year: int) -> tuple[int, ...]:
    """The moments of a year at which the zone's clocks change, to the minute, by looking."""
    there = ZoneInfo(zone)
    hours = range(
        round(datetime(year, 1, 1, tzinfo=UTC).timestamp()), round(datetime(year + 1, 1, 1, tzinfo=UTC).timestamp()), 6 * 3600
    )
    offsets = [datetime.fromtimestamp(utc, there).utcoffset() for utc in hours]
    changed = [start for start, before, after in zip(hours, offsets, offsets[1:], strict=False) if before != after]
    return tuple(_to_the_minute(there, start) for start in changed)


def _to_the_minute(there: ZoneInfo, start: int) -> int:
    minutes = range(start, start + 6 * 3600 + 1, MINUTE)
    old = datetime.fromtimestamp(start, there).utcoffset()
    return minutes[bisect_right(minutes, False, key=lambda utc: datetime.fromtimestamp(utc, there).utcoffset() != old)]


def _field(low: int, high: int, steps: tuple[int, ...]) -> st.SearchStrategy[Field]:
    everything = range(low, high + 1)
    value = st.integers(low, high)
    strategies = [
        value.map(lambda one: Field(str(one), frozenset([one]))),
        st.lists(value, min_size=2, max_size=4, unique=True).map(lambda some: Field(",".join(map(str, some)), frozenset(some))),
        st.tuples(value, value).map(lambda ends: _range(everything, *ends, 1)),
        st.tuples(value, value, st.sampled_from(steps)).map(lambda parts: _range(everything, *parts)),
        st.sampled_from(steps).map(lambda step: Field(f"*/{step}", frozenset(everything[::step]))),
        st.just(Field("*", frozenset(everything))),
    ]
    return st.one_of(strategies)


def _range(everything: range, first: int, last: int, step: int) -> Field:
    inside = range(first, last + 1) if first <= last else [*range(first, everything[-1] + 1), *range(everything[0], last + 1)]
    return Field(f"{first}-{last}" + (f"/{step}" if step > 1 else ""), frozenset(list(inside)[::step]))


EXPRESSIONS = st.builds(
    Expression,
    minute=_field(0, 59, (2, 5, 7, 15, 20, 30)),
    hour=_field(0, 23, (2, 3, 5, 6, 12)),
    day=st.one_of(st.just(Field("*", frozenset(range(1, 32)))), _field(1, 31, (2, 3, 10))),
    weekday=st.one_of(st.just(Field("*", frozenset(range(7)))), _field(0, 6, (2, 3))),
)

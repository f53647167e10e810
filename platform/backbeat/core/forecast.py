"""How many runs are due in each minute to come. Memory follows minutes and queues, never schedules."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from backbeat.core.entry import Entry, Timing, offset
from backbeat.core.when import Every
from backbeat.errors import DefinitionError

MINUTE_MS = 60_000
MOST_QUEUES = 500
OTHERS = "(other queues)"
"""Where the rest is counted when there are more queues than anybody reads."""

Sparse = tuple[tuple[int, int], ...]
"""(minute, count) pairs."""


@dataclass(frozen=True)
class Forecast:
    """Counts a minute from `since` (epoch ms, a whole minute), by queue. Jitter is counted to the minute."""

    since: int
    minutes: int
    queues: dict[str, array[int]] = field(default_factory=dict)

    def add(self, entries: Iterable[tuple[str, Entry, int | None]]) -> None:
        """Count some entries, each with its queue and how many runs it may still have. Equal timings are computed once.

        One whose times can't be told is left out: when it is due it is parked, with the reason.
        """
        groups: Counter[tuple[str, Timing, int, int | None]] = Counter()
        for queue, entry, left in entries:
            groups[queue, entry.timing, offset(entry.id, entry.timing.jitter) // MINUTE_MS, left] += 1
        for (queue, timing, shift, left), times in groups.items():
            try:
                found = occurrences(timing, self.since - shift * MINUTE_MS, self.minutes)
            except DefinitionError:
                continue
            counts = self._of(queue)
            for minute, count in _first(left, found):
                counts[minute] += count * times

    def total(self) -> list[int]:
        """Counts a minute over all queues."""
        return [sum(counts) for counts in zip(*self.queues.values(), strict=True)] or [0] * self.minutes

    def busiest(self, most: int) -> list[tuple[int, int]]:
        """The fullest minutes as (epoch ms, count), the fullest first; empty ones are left out."""
        counted = [(-count, minute) for minute, count in enumerate(self.total()) if count]
        return [(self.since + minute * MINUTE_MS, -count) for count, minute in sorted(counted)[:most]]

    def at(self, moment: int) -> dict[str, int]:
        """The counts of one minute by queue, the fullest first."""
        minute = (moment - self.since) // MINUTE_MS
        counted = {queue: counts[minute] for queue, counts in self.queues.items() if counts[minute]}
        return dict(sorted(counted.items(), key=lambda one: -one[1]))

    def _of(self, queue: str) -> array[int]:
        if queue not in self.queues and len(self.queues) >= MOST_QUEUES:
            queue = OTHERS
        if queue not in self.queues:
            self.queues[queue] = array("Q", bytes(8 * self.minutes))
        return self.queues[queue]


@lru_cache(maxsize=4096)
def occurrences(timing: Timing, since: int, minutes: int) -> Sparse:
    """How many nominal times of a schedule lie in each minute from `since`, which is a whole minute."""
    until = since + minutes * MINUTE_MS
    if isinstance(timing.when, Every) and timing.when.ms < MINUTE_MS and timing.days is None:
        return tuple(_of_interval(timing, timing.when, since, minutes))
    counts: Counter[int] = Counter()
    moment = timing.fires_after(since - 1)
    while moment is not None and moment < until:
        counts[(moment - since) // MINUTE_MS] += 1
        moment = timing.fires_after(moment)
    return tuple(sorted(counts.items()))


def _first(left: int | None, counts: Sparse) -> Iterable[tuple[int, int]]:
    """As many occurrences as there are runs left."""
    if left is None:
        yield from counts
        return
    for minute, count in counts:
        if left <= 0:
            return
        yield minute, min(left, count)
        left -= count


def _of_interval(timing: Timing, when: Every, since: int, minutes: int) -> Iterable[tuple[int, int]]:
    """Counted by arithmetic: there may be sixty thousand in a minute."""
    for minute in range(minutes):
        first = max(since + minute * MINUTE_MS, timing.start or 0)
        end = since + (minute + 1) * MINUTE_MS
        if timing.end is not None:
            end = min(end, timing.end + 1)
        count = -(-(end - when.anchor_ms) // when.ms) - -(-(first - when.anchor_ms) // when.ms)
        if count > 0:
            yield minute, count

"""From wall-clock times to instants: what a clock that jumps does to a schedule.

Where the clock skips time, a fixed time in the gap moves to the first instant after it (`shift`) or is left out
(`skip`). Where the clock shows an hour twice, a fixed time means its first showing, its last, or both. A rule with a
wildcard follows elapsed time: it takes every wall time that comes, as often as it comes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from backbeat.core.zone import DAY, Stretch, new_year, stretches


class Walls(Protocol):
    """What names wall-clock times: a cron rule, or a recurrence."""

    @property
    def elapsing(self) -> bool:
        """Whether it follows elapsed time when the clock jumps."""

    @property
    def last_year(self) -> int:
        """The last year in which it may come."""

    def walls(self, start: int, stop: int) -> Iterator[int]:
        """The wall times from `start`, included, to `stop`, not included, in order."""


@dataclass(frozen=True, slots=True)
class WallClock:
    """A rule in a zone, with its policies for clock changes."""

    rule: Walls
    zone: str
    gap: str
    fold: str

    def after(self, moment: int) -> Iterator[int]:
        """Every instant of the rule after a moment, in order; UTC seconds."""
        until = new_year(self.rule.last_year + 1)
        # Nothing is nearer than the first wall time, whatever the zone: so far ahead no clock change needs looking up.
        first = next(self.rule.walls(moment - DAY, until + DAY), None)
        if first is None:
            return
        for stretch in stretches(self.zone, max(moment, first - 2 * DAY), until + DAY):
            yield from self._within(stretch, moment)

    def _within(self, stretch: Stretch, moment: int) -> Iterator[int]:
        start, end = stretch.start + stretch.offset, stretch.end + stretch.offset
        if not self.rule.elapsing:
            if self.gap == "shift" and stretch.jump > 0 and stretch.start > moment and self._only_in_gap(start, stretch.jump):
                yield stretch.start
            start -= min(stretch.jump, 0) if self.fold == "first" else 0
            end += min(stretch.next_jump, 0) if self.fold == "last" else 0
        for wall in self.rule.walls(max(start, moment + stretch.offset + 1), end):
            yield wall - stretch.offset

    def _only_in_gap(self, start: int, jump: int) -> bool:
        """Whether the gap before wall time `start` swallowed something, and `start` itself is not due anyway."""
        return self._any(start - jump, start) and not self._any(start, start + 1)

    def _any(self, start: int, end: int) -> bool:
        return next(self.rule.walls(start, end), None) is not None

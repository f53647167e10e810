"""Which occurrences fell into a stretch of time, counted without walking through millions of them."""

from __future__ import annotations

from dataclasses import dataclass

from backbeat.core.entry import Timing
from backbeat.core.when import Every

WALK = 10_000
"""Cron occurrences are counted one by one up to here unless the caller asks for more; beyond, the count is a lower bound."""


@dataclass(frozen=True, slots=True)
class Missed:
    """A run of occurrences: nominal times (epoch ms) of the first and the last, how many, and whether that is all."""

    first: int
    last: int
    count: int
    exact: bool = True


def missed(timing: Timing, after: int, until: int, most: int = WALK) -> Missed | None:
    """The occurrences with `after` < nominal <= `until` (epoch ms) that would have fired, or None when there is none."""
    first = timing.fires_after(after)
    if first is None or first > until:
        return None
    if isinstance(timing.when, Every) and timing.days is None:
        end = until if timing.end is None else min(until, timing.end)
        more = (end - first) // timing.when.ms
        return Missed(first, first + more * timing.when.ms, more + 1)
    last, count = first, 1
    while count < most:
        moment = timing.fires_after(last)
        if moment is None or moment > until:
            return Missed(first, last, count)
        last, count = moment, count + 1
    following = timing.fires_after(last)
    return Missed(first, last, count, exact=following is None or following > until)

"""Lengths of time in buckets that grow with them: small enough to send each second, exact to some six percent.

Up to 31 each whole number has a bucket of its own; above, each power of two is cut into sixteen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

_CUTS = 16
SECONDS = 60
"""How long a `Minute` remembers."""


def bucket_of(value: int) -> int:
    """The bucket that a length falls into; negative ones count as none at all."""
    value = max(0, value)
    shift = max(0, value.bit_length() - 5)
    return shift * _CUTS + (value >> shift)


def longest_in(bucket: int) -> int:
    """The longest length that falls into a bucket."""
    if bucket < 2 * _CUTS:
        return bucket
    shift = bucket // _CUTS - 1
    return ((bucket - shift * _CUTS + 1) << shift) - 1


def quantile(counts: Mapping[int, int], share: float) -> int | None:
    """The length that `share` (0 to 1) of all counted ones do not exceed; None when nothing was counted."""
    missing = share * sum(counts.values())
    for bucket in sorted(counts):
        missing -= counts[bucket]
        if missing <= 0:
            return longest_in(bucket)
    return None


def to_text(counts: Mapping[int, int]) -> str:
    """`3:120 7:2`: bucket and count, for `from_text`."""
    return " ".join(f"{bucket}:{count}" for bucket, count in sorted(counts.items()))


def from_text(text: str) -> Counter[int]:
    """The counts that `to_text` wrote. Raises ValueError for anything else."""
    pairs = (pair.split(":", 1) for pair in text.split())
    return Counter({int(bucket): int(count) for bucket, count in pairs})


class Minute:
    """What was counted in the last sixty seconds. Times are given by the caller, in whole seconds of any steady clock."""

    def __init__(self) -> None:
        self._seconds: dict[int, tuple[Counter[int], int]] = {}

    def add(self, second: int, lengths: Iterable[tuple[int, int]]) -> None:
        """Count lengths, given as (length, how often), as of this second."""
        counts, longest = self._seconds.get(second, (Counter(), 0))
        for length, times in lengths:
            counts[bucket_of(length)] += times
            longest = max(longest, length)
        if second not in self._seconds:
            self._forget(second)
        self._seconds[second] = (counts, longest)

    def summary(self, second: int) -> tuple[Counter[int], int]:
        """The counts of the minute that ends with this second, and the longest length in it."""
        self._forget(second)
        total: Counter[int] = Counter()
        for counts, _ in self._seconds.values():
            total.update(counts)
        return total, max((longest for _, longest in self._seconds.values()), default=0)

    def _forget(self, second: int) -> None:
        for old in [past for past in self._seconds if past <= second - SECONDS]:
            del self._seconds[old]

"""What a scheduler counts: fires, what it left out and why, and how late it was. Counted a batch at a time."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from typing import Any

from backbeat.core.histogram import Minute, quantile, to_text
from backbeat.store.index import Fired

LAG_BOUNDS = (10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000)
"""Upper bounds (ms) of the lags that are counted since the process began; one more bucket holds the rest."""


class Meter:
    """The figures of one scheduler. The loop counts, the thread that renews the leases reads."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.missed: Counter[str] = Counter()
        self._lags = [0] * (len(LAG_BOUNDS) + 1)
        self._lag_sum = 0
        self._lag, self._tick = Minute(), Minute()
        self._lock = threading.Lock()

    def fired(self, fired: Fired, due: Mapping[int, int]) -> None:
        """Count what came of a batch. `due`: effective time (ms) -> how many occurrences of the batch had it."""
        lags = [(max(0, fired.now - moment), times) for moment, times in due.items()] if fired.leads else []
        with self._lock:
            self.counts.update(fired=fired.fired, refused=fired.refused, omitted=fired.omitted, duplicates=fired.duplicates)
            self.missed.update(fired.missed)
            self._lag.add(_second(), lags)
            for lag, times in lags:
                self._lags[bisect_left(LAG_BOUNDS, lag)] += times
                self._lag_sum += lag * times

    def parked(self) -> None:
        """Count an entry that could not be evaluated."""
        with self._lock:
            self.counts["parked"] += 1

    def ticked(self, seconds: float) -> None:
        """Count one pass of the loop."""
        with self._lock:
            self.counts["ticks"] += 1
            self._tick.add(_second(), [(round(seconds * 1_000_000), 1)])

    def figures(self) -> dict[str, Any]:
        """Everything, as plain data. `lag` and `tick` are of the last minute, the rest since the process began."""
        with self._lock:
            (lags, longest), (ticks, slowest) = self._lag.summary(_second()), self._tick.summary(_second())
            return {
                **{name: self.counts[name] for name in ("fired", "refused", "duplicates", "parked", "ticks")},
                "missed": dict(self.missed),
                "lag": {"buckets": to_text(lags), "max": longest},
                "lags": list(self._lags),
                "lag_sum": self._lag_sum,
                "tick": {"p50_us": quantile(ticks, 0.5), "max_us": slowest},
            }


def _second() -> int:
    return int(time.monotonic())

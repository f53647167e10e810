"""What a keeper says of itself: how each of its duties gets on."""

from __future__ import annotations

import time
from typing import Any

from backbeat.runtime.identity import INCARNATION
from backbeat.runtime.keeper import REPORT_EVERY, Work
from backbeat.runtime.pulse import Pulse
from backbeat.store.slots import Slots


class KeeperSigns:
    """Writes the vital signs of one keeper; made to be its `report`."""

    def __init__(self, slots: Slots) -> None:
        self._work: Work = {}
        self._pulse = Pulse(slots, "keeper", INCARNATION, self._figures, REPORT_EVERY, idle=lambda: idle(self._work))

    def __call__(self, work: Work) -> None:
        """Write how the duties get on; without any, take leave. Raises redis-py's errors when the server is away."""
        self._work = work
        if work:
            self._pulse.write()
        else:
            self._pulse.leave()

    def _figures(self) -> dict[str, Any]:
        now = time.monotonic()
        return {
            "duties": {
                name: {
                    "idle": round(max(0.0, now - done.moved - duty.pause), 1),
                    "count": done.count,
                    "failures": done.failures,
                    "error": done.error,
                }
                for name, (duty, done) in self._work.items()
            }
        }


def idle(work: Work) -> float:
    """Seconds for which the duty that stands still for longest should have moved on already."""
    now = time.monotonic()
    return max((now - done.moved - duty.pause for duty, done in work.values()), default=0.0)

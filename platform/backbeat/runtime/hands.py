"""What this very process works on, so that runs can be stopped where no process can be killed: in threads, greenlets, solo."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

from celery.exceptions import SoftTimeLimitExceeded

from backbeat.runtime.place import Place, Stop, here

if TYPE_CHECKING:
    from backbeat.runtime.attempt import Attempt
    from backbeat.runtime.logs import AttemptLog


class Why(StrEnum):
    """Why a run is stopped. The text is for people."""

    CANCEL = "somebody cancelled it"
    TIMEOUT = "it ran out of time"
    MEMORY = "it took more memory than its job may"
    TAKEN = "another worker has it now"
    OUTAGE = "its lease could not be renewed"
    CLOSING = "its worker shuts down"


class Hand:
    """One attempt at work in this process, while the code inside goes on. Stops and ends are decided by the heartbeat, in
    another thread.
    """

    __slots__ = (
        "_lock",
        "_over",
        "_place",
        "attempt",
        "ended",
        "hard",
        "hard_at",
        "kept",
        "soft_at",
        "stopped_at",
        "why",
        "working",
    )

    def __init__(
        self, attempt: Attempt, kept: AttemptLog, soft: float | None, hard: float | None, place: Place | None = None
    ) -> None:
        now = time.monotonic()
        self.attempt = attempt
        self.kept = kept
        self.soft_at = now + soft if soft else None
        self.hard = hard or 0.0
        self.hard_at = now + hard if hard else None
        self.why: Why | None = None
        self.stopped_at = 0.0
        self.ended = False
        """Whether somebody else has ended the attempt already, because its code can't be made to."""
        self._place = place or here()
        self._lock = threading.Lock()
        self.working = False
        """Whether an exception from outside may come up."""
        self._over = False

    def __enter__(self) -> Self:
        _hands.add(self)
        if self.soft_at or self.hard_at:
            stirred.set()
        return self

    def __exit__(self, *_: object) -> None:
        _hands.discard(self)

    def seize(self) -> bool:
        """End the attempt in place of its code, which can't be made to; False when the code was quicker."""
        with self._lock:
            self.ended = self.ended or not self._over
            return self.ended

    def over(self) -> bool:
        """The code has ended; False when the attempt was seized before."""
        with self._lock:
            self._over = not self.ended
            return self._over

    def work(self, work: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Do the work; only while it lasts can an exception from outside come up."""
        self.working = True
        try:
            return work(*args, **kwargs)
        finally:
            while self.working:
                try:
                    self._leave()
                except (Stop, SoftTimeLimitExceeded):
                    # One may come up even here, too late to matter: the work is done.
                    continue

    def stop(self, why: Why) -> None:
        """Make the code end; the first reason stays."""
        if self.why is None:
            self.why, self.stopped_at = why, time.monotonic()
            self._throw(Stop)

    def soften(self) -> None:
        """Tell the code that its soft limit is over."""
        self.soft_at = None
        self._throw(SoftTimeLimitExceeded)

    def _throw(self, error: type[BaseException]) -> None:
        with self._lock:
            if self.working:
                self._place.throw(error)

    def _leave(self) -> None:
        with self._lock:
            self.working = False
            self._place.clear()


_hands: set[Hand] = set()
closing = threading.Event()
"""Set when this worker shuts down: it begins nothing new."""
stirred = threading.Event()
"""Set when there is a new deadline to watch."""


def hands() -> list[Hand]:
    """All that is at work in this process."""
    return list(_hands.copy())

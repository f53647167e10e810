"""Time limits of one run among several in a pool's process: the pool itself only knows the limit of all of them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import FrameType

from celery.exceptions import SoftTimeLimitExceeded

from backbeat.runtime.hands import Hand
from backbeat.runtime.request import JobRequest

AGAIN = 1.0
"""Seconds until code is interrupted once more that took no notice. The pool kills it in the end."""
_NEVER = nullcontext()


def alarm(hand: Hand, soft: float | None, hard: float | None) -> AbstractContextManager[None]:
    """Interrupt the hand's work when its time is up. In threads and greenlets the heartbeat does that."""
    first = soft or hard
    if first is None or not JobRequest.processes or threading.current_thread() is not threading.main_thread():
        return _NEVER
    return _ringing(hand, first, hard)


@contextmanager
def _ringing(hand: Hand, first: float, hard: float | None) -> Iterator[None]:
    def ring(_signal: int, _frame: FrameType | None) -> None:
        if hand.working:
            raise SoftTimeLimitExceeded(first)

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, first, max(hard - first, AGAIN) if hard else AGAIN)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

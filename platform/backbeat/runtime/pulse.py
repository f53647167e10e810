"""The pulse of this process: how long it lives, when its work last moved on, and its figures, for whoever asks Redis."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

from backbeat.runtime.insist import OUTAGE
from backbeat.store.scripts import Call, run_many
from backbeat.store.slots import Slots
from backbeat.store.vitals import Vitals

log = logging.getLogger("backbeat")

LEAST = 1.0
"""Seconds between two signs, at least: they must cost nothing."""


class Pulse:
    """One process's vital signs, written by a thread that waits anyway.

    `figures` gives what is special to its kind. Either `moved` is called by whatever does the work, or `idle` tells for
    how many seconds the work has stood still.
    """

    def __init__(
        self,
        slots: Slots,
        kind: str,
        identity: str,
        figures: Callable[[], Mapping[str, Any]],
        every: float,
        *,
        name: str = "",
        idle: Callable[[], float] | None = None,
    ) -> None:
        host, pid = socket.gethostname(), os.getpid()
        self._every = max(LEAST, every)
        about = {"kind": kind, "name": name or f"{host}:{pid}", "host": host, "pid": pid}
        self._vitals = Vitals(slots, identity, about, self._every)
        self._figures = figures
        self._idle = idle or self._unmoved
        self._born = self._moved = time.monotonic()
        self._written = float("-inf")

    def moved(self) -> None:
        """The work has moved on; cheap enough to call for each step of it."""
        self._moved = time.monotonic()

    def calls(self) -> list[Call]:
        """What to send along with something else: the sign when one is due, else nothing."""
        now = time.monotonic()
        # A little early counts as due: a renewal each second must not become a sign every other second.
        if now - self._written < LEAST * 0.9:
            return []
        self._written = now
        return [self._vitals.call(now - self._born, max(0.0, self._idle()), self._figures())]

    def write(self) -> None:
        """Send the sign by itself, if one is due. Raises redis-py's errors when the server is away."""
        if calls := self.calls():
            run_many(self._vitals.slots.client, calls)

    def _unmoved(self) -> float:
        return time.monotonic() - self._moved

    def leave(self) -> None:
        """End in good order. An absent Redis lets the sign fade by itself."""
        try:
            self._vitals.leave()
        except OUTAGE as error:
            log.warning("the vital signs of this process will fade by themselves: %s", error)

"""More messages than slots from Redis: there a worker asks for each message, so it only has to ask for more.

Only the batched lane begins it, where a message is many runs and the way of a message costs as much as they do; runs with
messages of their own have enough without. A worker that asks ahead may begin with what it has, though something more urgent has
come since: as many messages as it has slots, of some milliseconds each. Where its queues hold both kinds, they may be of either.
"""

from __future__ import annotations

import logging
from typing import Any

from celery.worker import state as worker_state

from backbeat.runtime.spare import LOOK, Spare
from backbeat.runtime.urgent import UrgentFirst

log = logging.getLogger("backbeat.worker")


class AskedAhead(Spare):
    """What one connection of a worker asks for beyond its slots."""

    def __init__(self, consumer: Any, line: UrgentFirst) -> None:
        super().__init__(consumer, line)
        self._looks_again = False
        line.on_wait = self._waits

    def ended(self, request: Any) -> None:
        """A message was acknowledged."""
        if request.group:
            super().ended(request)

    def leave(self, name: str) -> None:
        """Nothing: what comes no more is not asked for."""

    def stop(self) -> None:
        """Take nothing more at all."""
        self._on = False
        self._ask(0)

    def _more(self) -> bool:
        self._ask(self._consumer.pool.num_processes)
        return True

    def _is_fed(self, busy: set[str]) -> bool:
        return bool(busy)

    def _waits(self) -> None:
        # Redis may answer what was asked ahead when nothing is asked ahead any more. A slot may be free in a moment, too.
        if not self._on and not self._looks_again:
            self._looks_again = True
            self._consumer.timer.call_after(LOOK, self._waits_still)

    def _waits_still(self) -> None:
        self._looks_again = False
        if not self._on:
            self._give_back()

    def _fewer(self) -> None:
        self._ask(0)
        self._give_back()

    def _give_back(self) -> None:
        waiting = self._line.withdraw(lambda _: True)
        log.debug("%d messages at hand go back, since runs last or end", len(waiting))
        # The first that came was the first of its queue: it goes back last.
        for request in reversed(waiting):
            worker_state.task_ready(request)
            request.reject(requeue=True)

    def _ask(self, messages: int) -> None:
        self._consumer.task_consumer.channel.qos.ahead = messages

"""`backbeat keeper`: the recorder, the reaper, the sweeper and the publisher of one process, each in a loop of its own."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

log = logging.getLogger("backbeat.keeper")

PAUSE_AFTER_ERROR = 1.0


@dataclass(frozen=True, slots=True)
class Duty:
    """A step that says how much it did, and how long (seconds) to wait when that was nothing."""

    name: str
    step: Callable[[], int]
    idle: float
    begin: Callable[[], object] = lambda: None


class Keeper:
    """Runs duties until it is told to stop. A duty that raises is logged and tried again; it never stops the others."""

    def __init__(self, duties: Sequence[Duty]) -> None:
        self._duties = duties
        self._stopping = threading.Event()

    def run(self) -> None:
        """Work until SIGTERM or SIGINT."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        threads = [threading.Thread(target=self._loop, args=(duty,), name=f"backbeat-{duty.name}") for duty in self._duties]
        for thread in threads:
            thread.start()
        log.info("keeper: %s", ", ".join(duty.name for duty in self._duties))
        for thread in threads:
            thread.join()

    def stop(self) -> None:
        """End after the steps that are under way."""
        self._stopping.set()

    def _stop(self, *_: Any) -> None:
        self.stop()

    def _loop(self, duty: Duty) -> None:
        begun = False
        while not self._stopping.is_set():
            try:
                if not begun:
                    duty.begin()
                    begun = True
                if not duty.step():
                    self._stopping.wait(duty.idle)
            except Exception:
                log.exception("%s: will be tried again", duty.name)
                self._stopping.wait(PAUSE_AFTER_ERROR)

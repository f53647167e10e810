"""`backbeat keeper`: the recorder, the reaper, the sweeper and the publisher of one process, each in a loop of its own."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

log = logging.getLogger("backbeat.keeper")

PAUSE_AFTER_ERROR = 1.0
REPORT_EVERY = 2.0


@dataclass(frozen=True, slots=True)
class Duty:
    """A step that says how much it did, and how long (seconds) to wait when that was nothing."""

    name: str
    step: Callable[[], int]
    idle: float | Callable[[], float]
    begin: Callable[[], object] = lambda: None

    @property
    def pause(self) -> float:
        """Seconds to wait after a step that did nothing."""
        return self.idle if isinstance(self.idle, float) else self.idle()


@dataclass(slots=True)
class Done:
    """How a duty gets on."""

    moved: float = field(default_factory=time.monotonic)
    """When a step last ended well (monotonic seconds)."""
    count: int = 0
    """What its steps did, added up."""
    failures: int = 0
    error: str = ""
    """What the last step raised; empty when it ended well."""

    def note(self, count: int) -> None:
        """A step ended well."""
        self.moved, self.count, self.error = time.monotonic(), self.count + count, ""

    def fail(self, error: Exception) -> None:
        """A step raised."""
        self.failures, self.error = self.failures + 1, f"{type(error).__name__}: {error}"


Work = Mapping[str, tuple[Duty, Done]]


class Keeper:
    """Runs duties until it is told to stop. A duty that raises is logged and tried again; it never stops the others.

    `report` is told every other second how the duties get on, and once more with nothing when they have ended.
    """

    def __init__(self, duties: Sequence[Duty], report: Callable[[Work], object] | None = None) -> None:
        self._work = {duty.name: (duty, Done()) for duty in duties}
        self._report = report
        self._stopping = threading.Event()

    def run(self) -> None:
        """Work until SIGTERM or SIGINT."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        threads = [
            threading.Thread(target=self._loop, args=(duty, done), name=f"backbeat-{duty.name}")
            for duty, done in self._work.values()
        ]
        for thread in threads:
            thread.start()
        log.info("keeper: %s", ", ".join(self._work))
        while not self._stopping.wait(REPORT_EVERY):
            self._tell(self._work)
        for thread in threads:
            thread.join()
        self._tell({})

    def stop(self) -> None:
        """End after the steps that are under way."""
        self._stopping.set()

    def _stop(self, *_: Any) -> None:
        self.stop()

    def _tell(self, work: Work) -> None:
        try:
            if self._report is not None:
                self._report(work)
        except Exception as error:  # noqa: BLE001 - whatever it is, the duties matter more than what is said of them
            log.warning("the vital signs of this keeper were not written: %s", error)

    def _loop(self, duty: Duty, done: Done) -> None:
        begun = False
        while not self._stopping.is_set():
            try:
                if not begun:
                    duty.begin()
                    begun = True
                count = duty.step()
                done.note(count)
                if not count:
                    self._stopping.wait(duty.pause)
            except Exception as error:
                done.fail(error)
                log.exception("%s: will be tried again", duty.name)
                self._stopping.wait(PAUSE_AFTER_ERROR)

"""The prefork pool of our workers: Celery's, whose processes pay what they owe, and are missed as soon as they are gone."""

from __future__ import annotations

from typing import Any

from celery.concurrency.asynpool import AsynPool

from backbeat.runtime.owed import OwingWorker

LOOKS = (0.01, 0.04, 0.2, 1.0)
"""Seconds between looks whether a process is gone whose pipe is closed."""


class JobPool(AsynPool):  # type: ignore[misc]  # Celery is untyped
    """Celery's pool of processes."""

    Worker = OwingWorker

    def _event_process_exit(self, hub: Any, proc: Any) -> None:
        # The kernel closes a process's pipe a moment before it can say that the process is over. Celery asks just then, and not
        # again for five seconds: so long its slot is empty, and its run looks as if it would not stop.
        super()._event_process_exit(hub, proc)
        self._until_gone(hub, proc, LOOKS)

    def _until_gone(self, hub: Any, proc: Any, looks: tuple[float, ...]) -> None:
        if looks and proc in self._pool:
            hub.call_later(looks[0], self._look, hub, proc, looks[1:])

    def _look(self, hub: Any, proc: Any, looks: tuple[float, ...]) -> None:
        self.maintain_pool()
        self._until_gone(hub, proc, looks)

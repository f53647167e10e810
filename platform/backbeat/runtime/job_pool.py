"""The prefork pool of our workers: Celery's, whose processes pay their debts, are missed once gone, and are heard to the end."""

from __future__ import annotations

import select
from typing import Any

from billiard.pool import TERMINATE, WorkersJoined
from celery.concurrency.asynpool import AsynPool, ResultHandler, iterate_file_descriptors_safely

from backbeat.runtime.owed import OwingWorker

LOOKS = (0.01, 0.04, 0.2, 1.0)
"""Seconds between looks whether a process is gone whose pipe is closed."""

LISTENS = 0.1
"""Seconds for which the parent waits for a last result before it looks which processes are left."""


class LastResults(ResultHandler):  # type: ignore[misc]  # Celery is untyped
    """Celery's reader of results, which at a shutdown goes on until every process has ended."""

    def on_stop_not_started(self) -> None:
        """Called by Celery when the pool stops.

        Celery reads as long as its books tell of a task. Of one that its process took just then they don't: it counts as not
        begun and is struck off. The process does it, and stays for half a minute to be heard.
        """
        super().on_stop_not_started()
        while self._state != TERMINATE and self.fileno_to_outq:
            try:
                self.join_exited_workers(shutdown=True)
            except WorkersJoined:
                return
            self._listen()

    def _listen(self) -> None:
        poll, processes = select.poll(), self.fileno_to_outq
        for pipe in processes:
            poll.register(pipe, select.POLLIN)
        ready = [pipe for pipe, _ in poll.poll(LISTENS * 1000)]
        gone: list[int] = []
        iterate_file_descriptors_safely(ready, processes, self._flush_outqueue, gone.append, processes, self.on_state_change)
        for pipe in gone:
            processes.pop(pipe, None)


class JobPool(AsynPool):  # type: ignore[misc]  # Celery is untyped
    """Celery's pool of processes."""

    Worker = OwingWorker
    ResultHandler = LastResults

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

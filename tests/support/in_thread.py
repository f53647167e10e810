"""What otherwise runs in a process of its own, in a thread of the test, for behaviour that does not depend on processes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from celery.contrib.testing.worker import start_worker

from backbeat.core.priority import queues_of
from backbeat.runtime.app import Backbeat


@contextmanager
def worker_in_thread(app: Backbeat, *pools: str) -> Iterator[Any]:
    """Run a solo worker for these pools' queues until the block ends."""
    app.amqp.queues.select(queues_of(pools or ("default",)))
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    try:
        with start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=20) as worker:
            yield worker
    finally:
        # It lets nothing below an error through, for every test that follows in this process.
        root.setLevel(level)
        root.handlers[:] = handlers


@contextmanager
def repeatedly(step: Callable[[], object], every: float = 0.05) -> Iterator[None]:
    """Call `step` again and again until the block ends, as a process with a loop does."""
    ended = threading.Event()

    def loop() -> None:
        while not ended.is_set():
            step()
            ended.wait(every)

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()

"""A Celery worker in a thread of the test, for behaviour that does not depend on processes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery.contrib.testing.worker import start_worker

from backbeat.core.priority import queues_of
from backbeat.runtime.app import Backbeat


@contextmanager
def worker_in_thread(app: Backbeat, *pools: str) -> Iterator[Any]:
    """Run a solo worker for these pools' queues until the block ends."""
    app.amqp.queues.select(queues_of(pools or ("default",)))
    with start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=20) as worker:
        yield worker

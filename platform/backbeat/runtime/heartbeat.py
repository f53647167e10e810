"""The worker's heartbeat: one thread a worker renews the leases of all its runs, and stops runs that it may not do any more."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from celery import bootsteps
from celery.worker import state as worker_state

from backbeat.conf import settings
from backbeat.runtime.identity import INCARNATION
from backbeat.runtime.insist import OUTAGE
from backbeat.runtime.pulse import Pulse
from backbeat.runtime.worker_signs import connected, figures, idle
from backbeat.store.ledger import Ledger
from backbeat.store.store import open_store

log = logging.getLogger("backbeat.worker")


class Heartbeat:
    """Renews, and fences its own worker: a run that was lost, cancelled, or can't be renewed in time is stopped."""

    def __init__(
        self, ledger: Ledger, lease: float, active: Callable[[], Iterable[str]], stop_run: Callable[[str], None]
    ) -> None:
        self.ledger = ledger
        self.lease = lease
        self._active = active
        self._stop_run = stop_run
        self._held: set[str] = set()
        self._renewed_at = time.monotonic()

    def step(self) -> None:
        """One heartbeat. Never raises: a worker without Redis must live to see it again."""
        active = set(self._active())
        try:
            held, cancelled = self.ledger.renew(INCARNATION, active, self.lease)
        except OUTAGE as error:
            self._fence_if_late(error)
            return
        self._renewed_at = time.monotonic()
        for run_id in (self._held - held) & active:
            # It may also just have finished: its child is busy with the acknowledgement. Only a live one is stopped.
            if self.ledger.get(run_id):
                log.warning("run %s: taken over by another worker; stopping it here", run_id)
                self._stop_run(run_id)
        for run_id in cancelled:
            log.info("run %s: cancelled; stopping it", run_id)
            self._stop_run(run_id)
        self._held = held

    def _fence_if_late(self, error: Exception) -> None:
        # Leases end only by Redis' clock, but while it is away nobody else can claim: what matters is that nothing of
        # ours goes on once it is back and somebody else was first. Two thirds of a lease leaves time to stop.
        if self._held and time.monotonic() - self._renewed_at > self.lease * 2 / 3:
            log.warning("no heartbeat for %.0f s (%s); giving up %d runs", self.lease * 2 / 3, error, len(self._held))
            for run_id in self._held:
                self._stop_run(run_id)
            self._held = set()


class HeartbeatStep(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery is untyped
    """Starts the heartbeat with the worker and stops it last."""

    requires = {"celery.worker.components:Pool"}

    def __init__(self, worker: Any, **kwargs: Any) -> None:
        super().__init__(worker, **kwargs)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, worker: Any) -> None:
        """Called by Celery once the pool is up."""
        conf = settings()
        beat = Heartbeat(open_store().ledger, conf.run_lease, _active_ids, lambda run_id: _terminate(worker, run_id))
        self._stopping.clear()
        self._pulse = Pulse(
            open_store().slots,
            "worker",
            INCARNATION,
            lambda: figures(worker),
            conf.heartbeat,
            name=str(worker.hostname),
            idle=lambda: idle(worker),
        )
        self._thread = threading.Thread(target=self._run, args=(beat, conf.heartbeat), name="backbeat-heartbeat", daemon=True)
        self._thread.start()

    def stop(self, _worker: Any) -> None:
        """Called by Celery at shutdown."""
        self._stopping.set()
        connected.set()
        if self._thread is not None:
            self._thread.join(timeout=5)
            self._pulse.leave()

    terminate = stop

    def _run(self, beat: Heartbeat, interval: float) -> None:
        while not self._stopping.is_set():
            # A worker that has just begun to consume says so at once.
            connected.wait(interval)
            connected.clear()
            if not self._stopping.is_set():
                beat.step()
                self._sign()

    def _sign(self) -> None:
        try:
            self._pulse.write()
        except Exception as error:  # noqa: BLE001 - the runs' leases matter more than what this worker says of itself
            log.warning("the vital signs of this worker were not written: %s", error)


def _active_ids() -> list[str]:
    """Ids that a pool process has accepted. The set changes under us: Celery's main thread owns it."""
    while True:
        try:
            return [request.id for request in list(worker_state.active_requests)]
        except RuntimeError:
            continue


def _terminate(worker: Any, run_id: str) -> None:
    request = worker_state.requests.get(run_id)
    if request is not None:
        request.terminate(worker.pool, signal="TERM")

"""The worker's heartbeat: one thread a worker renews the leases of all its runs, and stops runs that it may not do any more."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from celery import bootsteps, signals
from celery.concurrency.prefork import TaskPool

from backbeat.conf import Settings, settings
from backbeat.runtime import going_on, registry, settling
from backbeat.runtime.app_defaults import is_redis
from backbeat.runtime.hands import Why, closing, hands, stirred
from backbeat.runtime.identity import INCARNATION
from backbeat.runtime.insist import OUTAGE
from backbeat.runtime.job_pool import JobPool
from backbeat.runtime.place import listen
from backbeat.runtime.pulse import Pulse
from backbeat.runtime.queue_check import longer_timeout, outlasting
from backbeat.runtime.request import JobRequest, requests
from backbeat.runtime.watch import STEP, STOP_GRACE, Watch
from backbeat.runtime.worker_signs import connected, figures, idle, pool_of
from backbeat.store.ledger import Ledger
from backbeat.store.store import open_store

log = logging.getLogger("backbeat.worker")


class Heartbeat:
    """Renews, and fences its own worker: a run that was lost, cancelled, or can't be renewed in time is stopped."""

    def __init__(
        self,
        ledger: Ledger,
        lease: float,
        active: Callable[[], Iterable[str]],
        stop_run: Callable[[str, Why], object],
        resume: Callable[[set[str]], object],
    ) -> None:
        self.ledger = ledger
        self.lease = lease
        self._active = active
        self._stop_run = stop_run
        self._resume = resume
        self._held: set[str] = set()
        self._away = False
        self._renewed_at = time.monotonic()

    def step(self) -> None:
        """One heartbeat. Never raises for an outage: a worker without Redis must live to see it again."""
        active = set(self._active())
        try:
            settling.pay()
            held, cancelled = self.ledger.renew(INCARNATION, active, self.lease)
        except OUTAGE as error:
            self._fence_if_late(error)
            return
        self._renewed_at = time.monotonic()
        if self._away:
            self._away = False
            self._resume(held)
        for run_id in (self._held - held) & active:
            # It may also just have finished: its process is busy with the acknowledgement. Only a live one is stopped.
            if self.ledger.get(run_id):
                log.warning("run %s: taken over by another worker; stopping it here", run_id)
                self._stop_run(run_id, Why.TAKEN)
        for run_id in cancelled:
            log.info("run %s: cancelled; stopping it", run_id)
            self._stop_run(run_id, Why.CANCEL)
        self._held = held

    def _fence_if_late(self, error: Exception) -> None:
        # Leases end only by Redis' clock, but while it is away nobody else can claim: what matters is that nothing of
        # ours goes on once it is back and somebody else was first. Two thirds of a lease leaves time to stop.
        if self._held and time.monotonic() - self._renewed_at > self.lease * 2 / 3:
            log.warning("no heartbeat for %.0f s (%s); giving up %d runs", self.lease * 2 / 3, error, len(self._held))
            for run_id in self._held:
                self._stop_run(run_id, Why.OUTAGE)
            self._held, self._away = set(), True


class HeartbeatStep(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery is untyped
    """Starts the heartbeat with the worker. It ends after the pool: leases are renewed while the last runs finish."""

    requires = {"celery.worker.components:Pool"}

    def __init__(self, worker: Any, **kwargs: Any) -> None:
        super().__init__(worker, **kwargs)
        worker.backbeat = self
        self.traces_here = pool_of(worker) != "prefork"
        # Before the pool forks. Where a process ends after so many tasks, each of them shall be a message.
        going_on.allow(processes=not self.traces_here and not worker.max_tasks_per_child)
        # The pool has no processes yet, and asks its class for what makes them.
        TaskPool.Pool = JobPool
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, worker: Any) -> None:
        """Called by Celery once the pool is up."""
        conf = settings()
        _warn_of_long_runs(conf)
        JobRequest.processes = pool_of(worker) == "prefork"
        if not JobRequest.processes:
            listen()
        self._watch = Watch(worker.pool, float(worker.app.conf.worker_soft_shutdown_timeout))
        self._beat = Heartbeat(open_store().ledger, conf.run_lease, active_ids, self._watch.stop, self._watch.resume)
        self._pulse = Pulse(
            open_store().slots,
            "worker",
            INCARNATION,
            lambda: figures(worker),
            conf.heartbeat,
            name=str(worker.hostname),
            idle=lambda: idle(worker),
        )
        self._ending.clear()
        closing.clear()
        signals.worker_shutting_down.connect(self._closing, sender=str(worker.hostname))
        self._thread = threading.Thread(target=self._run, args=(conf.heartbeat,), name="backbeat-heartbeat", daemon=True)
        self._thread.start()

    def close(self, _worker: Any) -> None:
        """Called by Celery when a shutdown begins, unless the only thread is busy with a run."""
        if self._thread is not None:
            self._watch.close(0)

    def terminate(self, worker: Any) -> None:
        """Called by Celery at a cold shutdown. Under gevent its own soft one fails, since a signal may not wait there."""
        self.close(worker)
        until = time.monotonic() + float(worker.app.conf.worker_soft_shutdown_timeout) + STOP_GRACE + 1
        while requests() and time.monotonic() < until:
            time.sleep(STEP)

    def end(self) -> None:
        """The pool has stopped: nothing is left to renew."""
        signals.worker_shutting_down.disconnect(self._closing)
        self._ending.set()
        stirred.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def _closing(self, how: str = "", exitcode: int = 0, **_: Any) -> None:
        # A cold shutdown takes back by itself what runs; a warm one would wait for it for ever.
        if how == "Warm":
            self._watch.close(exitcode)

    def _run(self, interval: float) -> None:
        beat_at = 0.0
        while not self._ending.is_set():
            wait = min(self._watch.step(), beat_at - time.monotonic())
            if wait > 0:
                stirred.wait(wait)
            stirred.clear()
            if time.monotonic() >= beat_at or connected.is_set():
                # A worker that has just begun to consume says so at once.
                connected.clear()
                self._beat.step()
                self._sign()
                beat_at = time.monotonic() + interval
        self._pulse.leave()

    def _sign(self) -> None:
        try:
            self._pulse.write()
        except Exception as error:  # noqa: BLE001 - the runs' leases matter more than what this worker says of itself
            log.warning("the vital signs of this worker were not written: %s", error)


def _warn_of_long_runs(conf: Settings) -> None:
    """RabbitMQ closes the channel of a run that outlasts its consumer_timeout: the run goes on, what waits here goes back."""
    jobs = [(job.name, job.spec.timeout) for job in registry.jobs.values()]
    if not is_redis(conf.broker_url) and (sentence := outlasting(jobs, conf.consumer_timeout)):
        log.warning("%s. %s", sentence, longer_timeout(jobs))


def active_ids() -> set[str]:
    """The runs that this worker works on."""
    at_work = hands()
    over = {hand.attempt.run_id for hand in at_work if hand.ended}
    return {run_id for request in requests() for run_id in request.run_ids} - over | {
        hand.attempt.run_id for hand in at_work if not hand.ended
    }

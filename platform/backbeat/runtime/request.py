"""A message in the hands of a worker's parent process, which must speak for runs whose own process can't any more."""

from __future__ import annotations

import logging
import signal
import time
from contextlib import suppress
from typing import Any, ClassVar

from billiard.common import TERM_SIGNAME
from billiard.exceptions import Terminated, TimeLimitExceeded, WorkerLostError
from celery.exceptions import Retry
from celery.utils.saferepr import saferepr
from celery.worker import state as worker_state
from celery.worker.request import Request

from backbeat.core.message import MEMORY_HEADER, group_of
from backbeat.errors import MemoryLimitExceeded
from backbeat.runtime import going_on, registry, settling
from backbeat.runtime.hands import Why, hands, stirred
from backbeat.runtime.hiding import SHOWN, shown
from backbeat.runtime.insist import OUTAGE
from backbeat.runtime.memory import resident
from backbeat.runtime.spare import Spare
from backbeat.runtime.urgent import UrgentFirst
from backbeat.store.store import open_store

log = logging.getLogger("backbeat.worker")

SOFT = signal.Signals[TERM_SIGNAME]
"""What ends a pool process in good order: an exception in its job. SIGTERM, unless REMAP_SIGTERM says otherwise."""
_unlimited: set[str] = set()
"""Jobs of which it was said that nobody limits their memory here."""
_DEATHS = (Terminated, WorkerLostError, SystemExit, KeyboardInterrupt)


class JobRequest(Request):  # type: ignore[misc]  # Celery is untyped
    """Celery's request, which also tells the ledger of timeouts, dead processes and stopped runs."""

    urgent: ClassVar[UrgentFirst | None] = None
    """The line before this worker's slots, where it has one."""
    spare: ClassVar[Spare | None] = None
    """What brings more messages than there are slots, where that is allowed."""
    processes: ClassVar[bool] = True
    """Whether this worker's pool has processes: they can be killed, and watch their time limits themselves."""
    why: Why | None = None
    """Why the run is being stopped, if it is."""
    stopped_at = 0.0
    _killed = False
    _goes_on = False

    memory: int | None = None
    """Bytes that the run's process may take."""
    _grown = 0

    time_limits: Any
    """Hard and soft limit in seconds, as Celery keeps them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.urgent is not None:
            self.urgent.arrived(self)
        job = registry.jobs.get(self._type)
        ours = self._request_dict.get("backbeat")
        self.is_run = job is not None or bool(ours)
        self.group = group_of(ours)
        if not self.is_run:
            return
        if not ours:
            # A stock producer shows everything.
            safe_args, safe_kwargs = shown(self._type, self._args, self._kwargs)
            self._argsrepr, self._kwargsrepr = saferepr(safe_args, SHOWN), saferepr(safe_kwargs, SHOWN)
        self.memory = self._request_dict.get(MEMORY_HEADER) or (job.spec.memory if job is not None else None)
        if not self.processes:
            # The heartbeat watches the limits of threads and greenlets, by the header that the attempt reads.
            self.time_limits = (None, None)
        elif job is not None and not self.group and not any(self.time_limits or ()):
            # A stock producer knows no limits; the job does.
            self.time_limits = (job.spec.timeout, job.spec.soft_timeout)

    def info(self, safe: bool = False) -> Any:
        """What `celery inspect` is told."""
        found = super().info(safe)
        if self.is_run and not safe:
            found["args"], found["kwargs"] = shown(self._type, self._args, self._kwargs)
        return found

    def on_accepted(self, pid: int, time_accepted: float) -> None:
        """A process of the pool begins with it."""
        super().on_accepted(pid, time_accepted)
        if self.memory and self.processes:
            stirred.set()
        elif self.memory and self._type not in _unlimited:
            _unlimited.add(self._type)
            log.warning("job %s: its memory is not limited in this pool, where runs share a process; take prefork", self._type)

    def look(self, pool: Any) -> bool:
        """Kill the run's process when it has outgrown its limit; whether there is one to watch."""
        if not (self.memory and self.processes and self.worker_pid):
            return False
        size = resident(self.worker_pid)
        if size > self.memory and self.why is None:
            self.why, self.stopped_at, self._grown, self._killed = Why.MEMORY, time.monotonic(), size, True
            log.warning("run %s: its process %s takes %s MiB and is killed", self.id, self.worker_pid, size >> 20)
            self._signal(pool, signal.SIGKILL)
        return True

    def acknowledge(self) -> None:
        """Let the broker send the next message; whoever waits for a slot may now know that none comes."""
        super().acknowledge()
        if self.urgent is not None:
            self.urgent.ended(self)
        if self.spare is not None:
            self.spare.ended(self)

    def stop(self, pool: Any, why: Why) -> None:
        """Make the run end, softly at first; the first reason stays. The heartbeat's thread calls this, too."""
        if self.why is not None:
            return
        self.why, self.stopped_at = why, time.monotonic()
        for hand in hands():
            if hand.attempt.run_id in self.run_ids and not hand.ended:
                hand.stop(why)
        self._signal(pool, SOFT)

    @property
    def run_ids(self) -> list[str]:
        """The runs that this message is for: one, as a rule."""
        return self.group or [self._went_on_to or self.id]

    @property
    def _went_on_to(self) -> str:
        """The run with which this message's process goes on now, after the message's own (runtime/going_on.py)."""
        return going_on.at_hand(self.id, self.worker_pid)

    def stop_run(self, pool: Any, run_id: str, why: Why) -> None:
        """Make one of the runs end. Those that wait for their turn in a group are looked after there (runtime/group.py)."""
        if not self.group or why is Why.OUTAGE or (self.processes and why is Why.CANCEL):
            self.stop(pool, why)
            return
        for hand in hands():
            if hand.attempt.run_id == run_id and not hand.ended:
                hand.stop(why)

    def kill(self, pool: Any) -> None:
        """The run does not end by itself: kill its process, where it has one of its own."""
        if self.processes and not self._killed:
            self._killed = True
            log.warning("run %s: does not stop (%s), so its process %s is killed", self.id, self.why, self.worker_pid)
            self._signal(pool, signal.SIGKILL)

    def _signal(self, pool: Any, number: signal.Signals) -> None:
        if self.processes and self.worker_pid:
            with suppress(OSError):
                pool.terminate_job(self.worker_pid, number)

    def cancel(self, pool: Any, signal: Any = None, emit_retry: bool = True) -> None:
        """Celery takes back what this worker does, because it shuts down at once."""
        if not self.is_run:
            super().cancel(pool, signal, emit_retry)
        elif self.time_start:
            self.stop(pool, Why.CLOSING)

    def terminate(self, pool: Any, signal: Any = None) -> None:
        """Somebody revoked the task by Celery's own means: the same as cancelling the run."""
        if not self.is_run:
            super().terminate(pool, signal)
        elif self._cancel_run("revoked") == "asked":
            self.stop(pool, Why.CANCEL)

    def _announce_revoked(self, reason: str, terminated: bool, signum: Any, expired: bool) -> None:
        if self.is_run and not terminated:
            self._cancel_run(reason)
        super()._announce_revoked(reason, terminated, signum, expired)

    def _cancel_run(self, reason: str) -> str:
        try:
            answers = [open_store().ledger.cancel(run_id, reason) for run_id in self.run_ids]
            return "asked" if "asked" in answers else answers[0]
        except OUTAGE as error:
            log.warning("run %s: Redis does not answer, so it is not cancelled: %s", self.id, error)
            return "unknown"

    def send_event(self, type: str, **fields: Any) -> Any:  # noqa: A002 - Celery's name
        """Tell whoever listens; of the runs, too, with which this message's process went on."""
        super().send_event(type, **fields)
        if told := getattr(fields.get("runtime"), "told", ()):
            going_on.tell(self._eventer, told)

    def on_timeout(self, soft: bool, timeout: float) -> None:
        """The pool tells of a limit; of a hard one after `on_failure`, which has then said all."""
        if not self._goes_on:
            super().on_timeout(soft, timeout)

    def on_failure(self, exc_info: Any, send_failed_event: bool = True, return_ok: bool = False) -> Any:
        """The attempt raised; or its process died, or was ended by us."""
        error = getattr(exc_info.exception, "exc", exc_info.exception)
        if self.is_run and not return_ok and self._settle(error):
            self._goes_on = True
            return None
        return super().on_failure(exc_info, send_failed_event, return_ok)

    def _settle(self, error: BaseException) -> bool:
        """Write what the end of the attempt's process means; True when the run goes on by another message."""
        if self.group or self._went_on_to:
            return isinstance(error, (*_DEATHS, TimeLimitExceeded)) and self._settle_group(error)
        mine = settling.by_process(self.worker_pid or 0)
        if isinstance(error, TimeLimitExceeded):
            _, retry_in = settling.timed_out(self.id, mine, error)
            return retry_in is not None and self._leave(error)
        if not isinstance(error, _DEATHS):
            return False
        if self.why is Why.MEMORY:
            limit, grown = (f"{size / 1024**2:,.0f} MiB" for size in (self.memory or 0, self._grown))
            told = MemoryLimitExceeded(f"its process took {grown}; its job may take {limit}.")
            _, retry_in = settling.outgrown(self.id, mine, told)
            return retry_in is not None and self._leave(told)
        if self.why is Why.CANCEL:
            settling.cancelled(self.id, mine)
            return False
        if self.why is None and not isinstance(error, Terminated):
            return settling.lost(self.id, self.worker_pid or 0, error) and self._leave(error)
        # Stopped for the worker's sake, or hit by a signal that was meant for the run before it.
        given = self.why is not Why.TAKEN and settling.released(self.id, mine, self.why or Why.CLOSING)
        return self._leave(error, requeue=not given and self.why is not Why.TAKEN)

    def _settle_group(self, error: BaseException) -> bool:
        """What had ended is told already, or was lost with the process. The others come again, each by itself."""
        process = self.worker_pid or 0
        for run_id in self.run_ids:
            if self.why is None and not isinstance(error, Terminated):
                settling.lost(run_id, process, error)
            elif self.why is not Why.TAKEN:
                settling.released(run_id, settling.by_process(process), self.why or Why.CLOSING)
        return self._leave(error)

    def _leave(self, error: BaseException, *, requeue: bool = False) -> bool:
        """Let go of the message, and tell Celery's own books that the task will be tried again."""
        worker_state.task_ready(self)
        retry = Retry(exc=error if isinstance(error, Exception) else None, message=str(self.why or error))
        if self.store_errors:
            self.task.backend.mark_as_retry(self.id, retry, request=self._context)
        self.send_event("task-retried", exception=str(retry), traceback="")
        if requeue:
            self.reject(requeue=True)
        else:
            self.acknowledge()
        return True


def requests() -> list[JobRequest]:
    """The runs that this worker's pool has accepted. The set changes under us: Celery's main thread owns it."""
    while True:
        try:
            return [one for one in list(worker_state.active_requests) if getattr(one, "is_run", False)]
        except RuntimeError:
            continue

"""Calling a job's function, whatever it does to the process: what it came to, for the ledger and for Celery."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from billiard.common import terminate_handler_fired
from celery.exceptions import Ignore, Retry, SoftTimeLimitExceeded

from backbeat.conf import settings
from backbeat.core.state import RunState
from backbeat.errors import RunFailed
from backbeat.runtime.hands import Hand
from backbeat.runtime.outcome import Outcome, cause, describe, failed, succeeded
from backbeat.runtime.place import Stop


class Result(NamedTuple):
    """What the work came to."""

    value: Any
    error: BaseException | None
    outcome: Outcome

    @property
    def for_celery(self) -> BaseException:
        """The error in a form that Celery survives: some would end a pool's process, or the whole worker."""
        error = cause(self.error) if self.error else RunFailed()
        if isinstance(error, Exception) and not isinstance(error, MemoryError):
            return error
        return RunFailed(f"{type(error).__name__}: {describe(error)}")


def work_through(hand: Hand, work: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Result:
    """Do the work. Raises only what ends the work from outside: Stop, or the signal that ends this process."""
    process = os.getpid()
    try:
        value = hand.work(work, args, kwargs)
    except SoftTimeLimitExceeded as error:
        return Result(None, error, failed(error, RunState.TIMED_OUT))
    except Retry as error:
        return Result(None, error, failed(cause(error)))
    except Ignore as error:
        return Result(None, error, Outcome(RunState.SUCCEEDED))
    except BaseException as error:
        if _comes_from_outside(error):
            raise
        return Result(None, error, failed(error))
    finally:
        if os.getpid() != process:
            _leave_fork()
    return Result(value, None, succeeded(value, settings().result_limit))


def was_killed() -> bool:
    """Whether this pool process has been told to end."""
    return bool(terminate_handler_fired())


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let the signal that ends a pool process wait: the work is done, and only needs to be written down."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGQUIT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _comes_from_outside(error: BaseException) -> bool:
    if isinstance(error, SystemExit):
        return isinstance(error, Stop) or was_killed()
    # A greenlet's end and gevent's own timeout are the pool's doing.
    return not isinstance(error, Exception) and type(error).__module__.partition(".")[0] in ("gevent", "greenlet", "_greenlet")


def _leave_fork() -> None:
    """The job forked, and this is the copy: it must not go on as if it were the worker, whose pipes it shares."""
    sys.stderr.write("backbeat: a process that a job forked came back from the job; it ends here\n")
    sys.stderr.flush()
    os._exit(0)

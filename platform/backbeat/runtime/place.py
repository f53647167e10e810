"""Where a run's code is at work inside this process, and how an exception reaches it there.

A pool process can be killed; a thread or a greenlet can't. What can be done is to raise an exception in its code.
"""

from __future__ import annotations

import ctypes
import signal
import sys
import threading
from types import FrameType
from typing import Any, Protocol

WAKE = signal.SIGURG
"""Sent to our own main thread to interrupt what blocks it. Ignored by default, so nobody else relies on it."""


class Stop(SystemExit):
    """Raised inside a job's code to end it, as the signal does that ends a pool's process."""


class Place(Protocol):
    """One place of work."""

    def throw(self, error: type[BaseException]) -> None:
        """Raise an exception there, as soon as its code can notice; called from another thread."""

    def clear(self) -> None:
        """Take back what has not been raised yet; called there."""


class ThreadPlace:
    """A thread of a pool. It notices when its Python code goes on: a blocking call in C is not interrupted."""

    def __init__(self) -> None:
        self._ident = threading.get_ident()
        self._thrown = False

    def throw(self, error: type[BaseException]) -> None:
        """As of Place."""
        self._thrown = True
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._ident), ctypes.py_object(error))

    def clear(self) -> None:
        """As of Place. Not without need: it makes the interpreter look for an exception at every jump, from then on for ever."""
        if not self._thrown:
            return
        self._thrown = False
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._ident), None)


class MainPlace:
    """The main thread, where a solo worker works. A signal interrupts it even inside a blocking call."""

    pending: type[BaseException] | None = None

    def throw(self, error: type[BaseException]) -> None:
        """As of Place."""
        MainPlace.pending = error
        signal.pthread_kill(threading.main_thread().ident or 0, WAKE)

    def clear(self) -> None:
        """As of Place."""
        MainPlace.pending = None


class GreenPlace:
    """A greenlet. It notices when it waits for something; one that never waits can't be interrupted."""

    def __init__(self, gevent: Any) -> None:
        self._loop = gevent.get_hub().loop
        self._greenlet = gevent.getcurrent()
        self._pending: type[BaseException] | None = None

    def throw(self, error: type[BaseException]) -> None:
        """As of Place."""
        self._pending = error
        # From the hub, where the greenlet is certainly not running.
        self._loop.run_callback(self._raise)

    def clear(self) -> None:
        """As of Place."""
        self._pending = None

    def _raise(self) -> None:
        error, self._pending = self._pending, None
        if error is not None:
            self._greenlet.throw(error)


def _on_wake(_signal: int, _frame: FrameType | None) -> None:
    error, MainPlace.pending = MainPlace.pending, None
    if error is not None:
        raise error


def listen() -> None:
    """Let the main thread be interrupted; to be called there. Elsewhere it does nothing."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(WAKE, _on_wake)


def here() -> Place:
    """The place of the code that asks."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is not None and monkey.is_module_patched("threading"):
        return GreenPlace(sys.modules["gevent"])
    if threading.current_thread() is threading.main_thread() and signal.getsignal(WAKE) is _on_wake:
        return MainPlace()
    return ThreadPlace()

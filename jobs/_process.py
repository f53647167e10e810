"""A program under control: bounded output, a deadline, and a process group that never outlives its run.

A thread of its own looks after the program, because Celery's soft time limit is an exception raised in the main
thread at any line, even inside `Popen`; there it could leave a program behind that nobody knows. A small shell, the
guard, holds the other end of a pipe: when this whole process is killed, the pipe closes and the guard ends the group.
"""

from __future__ import annotations

import _thread
import logging
import math
import os
import selectors
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from jobs._output import Kept, Lines

_GUARD = 'read -r group || exit 0; read -r word && exit 0; kill -s TERM -- "-$group"; sleep "$1"; kill -s KILL -- "-$group"'
_CHUNK = 65536


@dataclass(frozen=True, slots=True)
class Command:
    """What to start. Times are seconds; `env` is the whole environment; `limit` is bytes of output to keep."""

    argv: Sequence[str]
    cwd: str | None = None
    env: Mapping[str, str] | None = None
    stdin: str | None = None
    timeout: float | None = None
    grace: float = 5.0
    limit: int = 32768


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended. A negative exit code is the signal that ended it."""

    exit_code: int
    output: str
    tail: str
    """The last 2,000 bytes of the output."""
    bytes: int
    """Length of the whole output, kept or not."""
    seconds: float
    timed_out: bool


def execute(command: Command, log: logging.Logger) -> Ended:
    """Run a program to its end. Raises OSError when it can't start; any exception raised here meanwhile ends its group."""
    keeper = _Keeper(command, log)
    try:
        # With this thread's context, in which loggers find the run that their lines belong to.
        # No `threading.Thread`: struck by a soft time limit while it starts, it raises a KeyError of its own in its place.
        _thread.start_new_thread(copy_context().run, (keeper.run,))
        keeper.finished.wait()
    except BaseException:
        keeper.stop()
        keeper.finished.wait(command.grace + 5)
        raise
    if keeper.error is not None:
        raise keeper.error
    return keeper.ended()


class _Keeper:
    """Starts one program, reads it, and ends its group on exit, deadline or stop, whichever comes first."""

    def __init__(self, command: Command, log: logging.Logger) -> None:
        self.finished = threading.Event()
        self.error: Exception | None = None
        self._command, self._log = command, log
        self._kept, self._lines = Kept(command.limit), Lines(log, command.limit)
        self._stopping = self._timed_out = self._silent = False
        self._exit_code = 0
        self._started = time.monotonic()
        self._seconds = 0.0
        # A byte in this pair wakes the thread out of its wait for output.
        self._alarm, self._bell = socket.socketpair()
        self._sources = selectors.DefaultSelector()
        self._sources.register(self._alarm, selectors.EVENT_READ, lambda: self._alarm.recv(1))

    def stop(self) -> None:
        """Ask for the end of the program; `finished` is set when its group is gone."""
        self._stopping = True
        with suppress(OSError):
            self._bell.send(b".")

    def ended(self) -> Ended:
        """The result, once finished."""
        kept = self._kept
        return Ended(self._exit_code, kept.text(), kept.last(2000), kept.seen, self._seconds, self._timed_out)

    def run(self) -> None:
        """The life of the program, in a thread of its own."""
        try:
            if not self._stopping:
                self._guarded()
        except Exception as error:  # noqa: BLE001 - handed to the caller's thread, which raises it
            self.error = error
        finally:
            self._seconds = time.monotonic() - self._started
            for opened in (self._sources, self._alarm, self._bell):
                opened.close()
            self.finished.set()

    def _guarded(self) -> None:
        guard = _guard(self._command.grace)
        try:
            process = _popen(self._command)
            _tell(guard, f"{process.pid}\n")
            with _pipe(process.stdout) as output:
                self._sources.register(output, selectors.EVENT_READ, lambda: self._take(output))
                self._look_after(process)
            _tell(guard, "done\n")
        finally:
            guard.communicate()

    def _look_after(self, process: subprocess.Popen[bytes]) -> None:
        self._read_until(lambda: self._stopping or process.poll() is not None, self._deadline())
        if process.returncode is None:
            self._timed_out = not self._stopping
        else:
            # Something in the group may still write, as the `tee` in `cmd > >(tee log)` does: let it finish.
            self._read_until(lambda: self._stopping or self._silent, time.monotonic() + self._command.grace)
        self._end_group(process)
        # Its last words may still be in the pipe; only what left the group could keep it open for longer.
        self._read_until(lambda: self._silent, time.monotonic() + 0.2)
        self._lines.close()
        self._exit_code = -signal.SIGKILL if process.poll() is None else process.returncode

    def _end_group(self, process: subprocess.Popen[bytes]) -> None:
        for signum, patience in ((signal.SIGTERM, self._command.grace), (signal.SIGKILL, 1.0)):
            if _is_gone(process):
                return
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signum)
            self._read_until(lambda: _is_gone(process), time.monotonic() + patience)
        if not _is_gone(process):
            self._log.warning("process group %d could not be ended", process.pid)

    def _read_until(self, fact: Callable[[], bool], deadline: float) -> None:
        """Take output until a fact holds or the deadline (monotonic seconds) passes."""
        pause = 0.001
        while not fact() and (left := deadline - time.monotonic()) > 0:
            ready = self._sources.select(min(pause, left))
            for key, _ in ready:
                key.data()
            if not ready:
                pause = min(pause * 2, 0.1)

    def _take(self, output: IO[bytes]) -> None:
        chunk = os.read(output.fileno(), _CHUNK)
        self._kept.add(chunk)
        self._lines.add(chunk)
        if not chunk:
            self._silent = True
            self._sources.unregister(output)

    def _deadline(self) -> float:
        return math.inf if self._command.timeout is None else self._started + self._command.timeout


def _popen(command: Command) -> subprocess.Popen[bytes]:
    with _stdin(command.stdin) as source:
        return subprocess.Popen(  # noqa: S603 - running a given program is this module's purpose
            list(command.argv),
            cwd=command.cwd,
            env=command.env,
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _guard(grace: float) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - a constant script
        ["/bin/sh", "-c", _GUARD, "backbeat-guard", str(math.ceil(grace))],
        cwd="/",
        env={"PATH": os.defpath},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _tell(guard: subprocess.Popen[bytes], line: str) -> None:
    with suppress(BrokenPipeError):
        _pipe(guard.stdin).write(line.encode())
        _pipe(guard.stdin).flush()


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None  # noqa: S101 - for the type checker: both are opened with PIPE
    return stream


def _stdin(text: str | None) -> IO[bytes]:
    if text is None:
        return Path(os.devnull).open("rb")
    # A file, not a pipe: a program that never reads its input can't block us, and one that reads it gets all of it.
    source = tempfile.TemporaryFile()  # noqa: SIM115 - closed by the caller, once the program has its copy
    source.write(text.encode())
    source.seek(0)
    return source


def _is_gone(process: subprocess.Popen[bytes]) -> bool:
    process.poll()  # a leader that nobody waited for would count as alive
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False  # it runs as another user
    return _holds_only_zombies(process.pid)


def _holds_only_zombies(group: int) -> bool:
    # Orphans that ended stay in the group until process 1 reaps them; in a container that may be never.
    states = [fields[0] for fields in map(_stat, Path("/proc").glob("[0-9]*/stat")) if fields and int(fields[2]) == group]
    return bool(states) and all(state in "ZX" for state in states)


def _stat(path: Path) -> list[str]:
    """State, parent, group, ... of a process, or nothing when it is gone (or this system has no /proc)."""
    try:
        return path.read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []

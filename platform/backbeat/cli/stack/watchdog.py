"""A small shell that outlives us for a moment: it ends our processes when we were killed and could not do it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import IO, cast

TOKEN = "BACKBEAT_STACK"  # noqa: S105 - the name of a variable that marks our processes, no password
GRACE = 5


class Watchdog:
    """Told of every process we start and stop; silent unless we vanish."""

    def __init__(self, token: str, held: Iterable[int] = ()) -> None:
        script = str(files("backbeat.cli.stack") / "watchdog.sh")
        # Its own environment lacks the token, so that it never counts itself among the strays. It keeps the given
        # descriptors (a lock) open until its work is done.
        env = {name: value for name, value in os.environ.items() if name != TOKEN}
        self._shell = subprocess.Popen(  # noqa: S603 - our own script, and a token that we made
            ["/bin/sh", script, token, str(GRACE)], stdin=subprocess.PIPE, start_new_session=True, env=env, pass_fds=tuple(held)
        )
        self._pipe = cast("IO[bytes]", self._shell.stdin)
        self.token = token

    def watch(self, target: int) -> None:
        """Remember a PID, or a process group (negative)."""
        self._tell(f"+ {target}")

    def forget(self, target: int) -> None:
        """It has ended."""
        self._tell(f"- {target}")

    def leave(self) -> None:
        """Everything has ended in good order."""
        self._tell(".")
        with contextlib.suppress(BrokenPipeError):
            self._pipe.close()
        self._shell.wait()

    def detach(self) -> None:
        """Close our end in a forked child: the shell learns of our end by the last closed end."""
        os.close(self._pipe.fileno())

    def _tell(self, line: str) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._pipe.write(f"{line}\n".encode())
            self._pipe.flush()


def strays(token: str) -> list[int]:
    """PIDs of processes that carry the token in their environment, where the system shows it (Linux)."""
    mark = f"{TOKEN}={token}".encode()
    found = []
    for place in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark in place.read_bytes():
                found.append(int(place.parent.name))
    return found


def end_strays(token: str) -> list[int]:
    """Kill what is left of us; returns the PIDs."""
    left = strays(token)
    for pid in left:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    return left

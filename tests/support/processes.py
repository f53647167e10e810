"""A process that a test owns: its own session, its own log, and gone when the test run is gone."""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1
PORTS = range(20_000, 32_000)
"""From the range above, any connection may take a port between its choice here and the server's start."""


class OwnProcess:
    """One process with its log file, stopped by its PID and never by its name."""

    def __init__(
        self, name: str, argv: Sequence[str | Path], folder: Path, env: Mapping[str, str] | None = None, user: str | None = None
    ) -> None:
        self.name, self.argv, self.folder, self.env, self.user = name, [str(part) for part in argv], folder, env, user
        self.log = folder / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The PID of the running process."""
        assert self._process is not None, f"{self.name} was not started"
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process runs now."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it; its output is appended to the log."""
        assert not self.alive, f"{self.name} runs already"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.argv,
                cwd=self.folder,
                env=dict(self.env) if self.env is not None else None,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=self.user,
                group=self.user,
                extra_groups=[] if self.user else None,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )

    def stop(self, sig: signal.Signals = signal.SIGTERM, within: float = 20.0) -> int | None:
        """Ask it to end, kill its whole group when it does not within `within` seconds; the exit code."""
        if self._process is None:
            return None
        if self.alive:
            self._process.send_signal(sig)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(within)
        self.kill()
        return self._process.returncode

    def kill(self) -> None:
        """SIGKILL to the process and to everything it started in its own session."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, and wait for nothing."""
        os.kill(self.pid, number)

    def ended(self, within: float = 10.0) -> int:
        """Its exit code, once it has ended by itself."""
        assert self._process is not None, f"{self.name} was not started"
        return self._process.wait(within)

    def pause(self) -> None:
        """Freeze it, as a long garbage collection, a suspended laptop or a stuck disk would."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def pause_group(self) -> None:
        """Freeze it with everything that it started, as a suspended machine would."""
        os.killpg(self.pid, signal.SIGSTOP)

    def resume_group(self) -> None:
        """Let all of them go on."""
        os.killpg(self.pid, signal.SIGCONT)

    def logs(self, last: int = 4000) -> str:
        """The end of the log."""
        return self.log.read_text(errors="replace")[-last:] if self.log.exists() else ""


def _die_with_parent() -> None:
    """Ask Linux to end this process with the one that started it, so that a killed test run leaves no server behind."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def free_port() -> int:
    """A loopback port that nobody listens on now, outside the range from which connections get theirs."""
    while True:
        port = secrets.choice(PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port

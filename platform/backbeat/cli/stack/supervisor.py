"""The Procfile's processes under honcho: one that ends is started again, and stopping leaves nothing behind."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import queue
import shlex
import signal
import threading
import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from honcho.manager import Manager
from honcho.printer import Message
from honcho.process import Process

from backbeat.cli.stack.output import OURS, Output
from backbeat.cli.stack.watchdog import Watchdog

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# What a worker gets to finish the runs at hand; what it can't finish is run again after the next start.
GRACE_SECONDS = 12.0
_DRAIN_SECONDS = 1.0
_FIRST_PAUSE, _LONGEST_PAUSE, _STEADY_SECONDS = 1.0, 30.0, 10.0


class _Child(Process):  # type: ignore[misc] # honcho has no types
    """Honcho's process in a fork of ours, which ends the whole group when its leader is gone."""

    watchdog: Watchdog
    _child: Any

    def run(self, events: Any = None, ignore_signals: bool = False) -> None:
        """Start the command and pass its lines on until its group is gone."""
        self.watchdog.detach()
        self._read_all = threading.Event()
        super().run(events, ignore_signals)
        self._read_all.set()

    def _send_message(self, data: Any, type: str = "line") -> None:  # noqa: A002 - honcho's name for it
        if type == "start":
            threading.Thread(target=self._end_group, daemon=True).start()
        super()._send_message(data, type)

    def _end_group(self) -> None:
        """When the leader is gone, so is the rest: the pool of a killed worker would keep its output open for ever."""
        self._child.wait()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, signal.SIGKILL)
        if not self._read_all.wait(_DRAIN_SECONDS):
            # A program that a job put into a session of its own still holds the output.
            super()._send_message({"returncode": self._child.returncode}, "stop")
            self._events.close()
            self._events.join_thread()
            os._exit(0)


class Supervisor(Manager):  # type: ignore[misc] # honcho has no types
    """Runs processes until it is told to stop."""

    returncode: int | None

    def __init__(self, output: Output, watchdog: Watchdog) -> None:
        super().__init__(output)
        self.output, self.watchdog = output, watchdog
        self._process_ctor = _Child
        self._stop_at: float | None = None
        self._again: dict[str, float] = {}
        self._pauses: dict[str, float] = {}
        self._started: dict[str, float] = {}
        self._told = False
        self._restarts: queue.SimpleQueue[list[str]] = queue.SimpleQueue()
        self._wanted: set[str] = set()

    def add(self, name: str, command: str, env: Mapping[str, str], cwd: str) -> None:
        """Add a process of the Procfile."""
        self.add_process(name, _direct(command), env=dict(env), cwd=cwd).watchdog = self.watchdog

    def say(self, text: str) -> None:
        """Print a line of our own; may be called from any thread."""
        self.events.put(_line(text))

    def stop(self, code: int) -> None:
        """Stop everything and end with this exit code; may be called from any thread, and again to kill at once."""
        if self.returncode is None:
            self.returncode = code
        self._stop_at = time.monotonic() if self._stop_at is None else self._stop_at - GRACE_SECONDS

    def restart(self, names: Iterable[str]) -> None:
        """Start these processes again (`worker` means `worker2` too); may be called from any thread."""
        wanted = tuple(names)
        self._restarts.put([name for name in self._processes if name.rstrip("0123456789") in wanted])

    def loop(self) -> None:
        """Run until `stop`, or a signal, and until all processes have ended. Call it in the main thread."""
        for number in STOP_SIGNALS:
            signal.signal(number, self._on_signal)
        for name in self._processes:
            self._launch(name)
        while self._stop_at is None or any(_runs(facts) for facts in self._processes.values()):
            self._step()
        self._drain()

    def _on_signal(self, number: int, _frame: object) -> None:
        # No more than this: whatever lock the main thread holds now, a handler must not wait for it.
        self.stop(128 + number)

    def _step(self) -> None:
        try:
            self._take(self.events.get(timeout=0.5))
        except queue.Empty:
            self._bury()
        if self._stop_at is not None:
            self._end_all(self._stop_at)
            return
        self._ask_restarting()
        for name in [name for name, moment in self._again.items() if moment <= time.monotonic()]:
            del self._again[name]
            self._launch(name)

    def _ask_restarting(self) -> None:
        while not self._restarts.empty():
            for name in self._restarts.get():
                if _runs(self._processes[name]) and "pid" in self._processes[name]:
                    self._wanted.add(name)
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(self._processes[name]["pid"], signal.SIGTERM)

    def _take(self, message: Message) -> None:
        if message.type == "line":
            self.output.write(message)
        elif message.type == "start":
            self._processes[message.name]["pid"] = message.data["pid"]
            self.watchdog.watch(-message.data["pid"])
        elif message.type == "stop":
            self._ended(message.name, message.data["returncode"])

    def _bury(self) -> None:
        # A fork of ours that was itself killed can send no message.
        for name, facts in self._processes.items():
            if _runs(facts) and "pid" in facts and not facts["process"].is_alive():
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(facts["pid"], signal.SIGKILL)
                self._ended(name, -signal.SIGKILL)

    def _launch(self, name: str) -> None:
        facts = self._processes[name]
        if "process" in facts:
            facts["process"].join(timeout=2)
        facts.pop("pid", None)
        facts.pop("returncode", None)
        facts["process"] = multiprocessing.get_context("fork").Process(
            name=name, target=facts["obj"].run, args=(self.events, True)
        )
        facts["process"].start()
        self._started[name] = time.monotonic()
        self.watchdog.watch(facts["process"].pid)

    def _ended(self, name: str, code: int) -> None:
        facts = self._processes[name]
        if not _runs(facts):
            return
        facts["returncode"] = code
        self.watchdog.forget(-facts["pid"])
        self.watchdog.forget(facts["process"].pid)
        if self._stop_at is not None:
            return
        if name in self._wanted:
            self._wanted.discard(name)
            self._again[name] = time.monotonic()
            return
        steady = time.monotonic() - self._started[name] > _STEADY_SECONDS
        pause = _FIRST_PAUSE if steady else self._pauses.get(name, _FIRST_PAUSE)
        self._pauses[name] = min(pause * 2, _LONGEST_PAUSE)
        self._again[name] = time.monotonic() + pause
        self._print(f"{name} ended with code {code}; starting it again in {pause:g} s")

    def _end_all(self, since: float) -> None:
        late = time.monotonic() - since > GRACE_SECONDS
        if not self._told:
            self._told = True
            self._print("stopping; Ctrl-C once more kills")
        for facts in self._processes.values():
            if not _runs(facts) or "pid" not in facts or (facts.get("asked") and not late):
                continue
            facts["asked"] = True
            with contextlib.suppress(ProcessLookupError):
                # Only the leader is asked: a worker's pool dies of SIGTERM in the middle of its runs.
                (os.killpg if late else os.kill)(facts["pid"], signal.SIGKILL if late else signal.SIGTERM)

    def _print(self, text: str) -> None:
        self.output.write(_line(text))

    def _drain(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                self._take(self.events.get(timeout=0.1))
        for facts in self._processes.values():
            if "process" in facts:
                facts["process"].join(timeout=2)


def _line(text: str) -> Message:
    now = datetime.now()  # noqa: DTZ005 - the time of the person who reads it
    return Message(type="line", data=f"{text}\n", time=now, name=OURS, colour=None)


def _runs(facts: Mapping[str, Any]) -> bool:
    return "process" in facts and "returncode" not in facts


def _direct(command: str) -> str:
    """The command without a shell in between, so that the PID that gets our signals is the program's own."""
    signs = set("();<>|&")
    compound = any(set(word) <= signs for word in shlex.shlex(command, posix=False, punctuation_chars=True))
    return command if compound else f"exec {command}"

"""What happens beside the processes: prepare, wait for the page, run the first graph, tell the person."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any, cast

from backbeat.cli.stack import figures
from backbeat.cli.stack.answers import wait_for
from backbeat.cli.stack.place import Place
from backbeat.cli.stack.supervisor import Supervisor
from backbeat.cli.stack.watchdog import Watchdog
from backbeat.errors import BackbeatError

_UI_SECONDS = 60.0
_SETTLE_SECONDS = 3.0
_SAMPLE_SECONDS = 10.0


@dataclass
class FirstRun:
    """The process that prepares the database and runs the first graph, as a stream of facts."""

    place: Place
    process: subprocess.Popen[str] = field(repr=False)
    watchdog: Watchdog

    @classmethod
    def start(cls, place: Place, watchdog: Watchdog, options: list[str]) -> FirstRun:
        """Start it; its chatter goes to a log."""
        logs = place.home / "logs"
        logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (logs / "first-run.log").open("w") as log:
            process = subprocess.Popen(  # noqa: S603 - our own module with our own options
                [sys.executable, "-m", "backbeat.cli.stack.first_run", *options],
                cwd=place.root,
                env=place.env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        watchdog.watch(-process.pid)
        return cls(place, process, watchdog)

    def facts(self) -> Iterator[dict[str, Any]]:
        """What it tells, to its end."""
        for line in cast("IO[str]", self.process.stdout):
            if line.startswith("{"):
                yield json.loads(line)
        self.process.wait()
        self.watchdog.forget(-self.process.pid)

    def expect(self, event: str) -> dict[str, Any]:
        """The next fact, which must be this one. Raises BackbeatError with the end of the log when the process broke."""
        for fact in self.facts():
            if fact["event"] == event:
                return fact
            if fact["event"] == "refused":
                raise BackbeatError(fact["error"])
        raise BackbeatError(f"the first start broke off before it was {event}:\n{self.log()}")

    def stop(self) -> None:
        """End it, when it is still at work."""
        self.process.kill()
        self.process.wait()
        self.watchdog.forget(-self.process.pid)

    def log(self, lines: int = 25) -> str:
        """The end of its log."""
        text = (self.place.home / "logs" / "first-run.log").read_text(errors="replace")
        return "\n".join(text.splitlines()[-lines:])


@dataclass(frozen=True)
class Manner:
    """How a start is meant: `once` ends with the first graph; `began` is epoch seconds."""

    quiet: bool
    once: bool
    figures: bool
    graph: bool
    began: float


class Guide(threading.Thread):
    """Speaks to the person while the supervisor runs the processes."""

    def __init__(self, place: Place, supervisor: Supervisor, first_run: FirstRun, login: str, manner: Manner) -> None:
        super().__init__(name="guide", daemon=True)
        self.place, self.supervisor, self.first_run, self.login, self.manner = place, supervisor, first_run, login, manner
        self.ui_seconds: float | None = None
        self.graph_seconds = 0.0

    def run(self) -> None:
        """Everything there is to say, in its order."""
        ui = threading.Thread(target=self._await_ui, daemon=True)
        ui.start()
        if self.manner.once:
            # The graph is under way already; the page comes up meanwhile.
            ended = self._followed()
            ui.join(_UI_SECONDS)
            self._finish(ended)
            return
        ui.join()
        self._welcome()
        if self.manner.graph:
            ended = self._followed()
            # The lines of the processes have pushed the welcome off the screen by now.
            self._say(f"  Report   {ended.get('report') or 'none: see the graph in the UI'}")
            self._say(f"  UI       {self.place.ui_url}")

    def _await_ui(self) -> None:
        came = wait_for(self.place.ui_url, _UI_SECONDS, lambda: self.supervisor.returncode is not None)
        if came is None:
            if self.supervisor.returncode is None:
                self._say(f"the web page did not answer within {_UI_SECONDS:g} s; its log ends with\n{self._log('web')}")
            return
        self.ui_seconds = time.time() - self.manner.began
        if self.manner.once:
            self._say(f"UI up after {self.ui_seconds:.1f} s: {self.place.ui_url}")

    def _welcome(self) -> None:
        up = f"up after {self.ui_seconds:.1f} s" if self.ui_seconds is not None else "not up yet"
        for line in (
            "",
            f"  UI       {self.place.ui_url}  ({self.login}; {up})",
            "  Add jobs jobs/hello.py  (any module in jobs/ will do; saving takes effect)",
            f"  Flower   {self.place.flower_url}",
            "  Trouble? backbeat doctor",
            "",
        ):
            self._say(line)

    def _followed(self) -> dict[str, Any]:
        """Tell of the first graph until it is over; the last fact about it."""
        last: dict[str, Any] = {"event": "broken"}
        for fact in self.first_run.facts():
            if fact["event"] == "ended":
                self.graph_seconds = time.time() - self.manner.began
            if fact != last:
                self._say(self._words(fact))
            last = fact
        if last["event"] in ("broken", "triggered", "progress") and self.supervisor.returncode is None:
            self._say(f"the first graph broke off:\n{self.first_run.log()}")
        return last

    def _words(self, fact: dict[str, Any]) -> str:
        match fact["event"]:
            case "triggered":
                return f"graph {fact['graph']} started: {fact['run']}"
            case "progress":
                return f"graph: {fact['done']} of {fact['total']} nodes done" if fact["total"] else "graph: waiting for a worker"
            case "ended":
                return f"graph {fact['state']} after {self.graph_seconds:.1f} s"
            case "refused":
                return f"the graph can't run: {fact['error']}"
            case _:
                return "there is no graph to run: dags/ has none that needs no parameters"

    def _finish(self, ended: dict[str, Any]) -> None:
        green = ended["event"] == "ended" and ended["state"] == "succeeded" and self.ui_seconds is not None
        if ended["event"] == "ended":
            self._say("")
            for line in ended["summary"]:
                self._say(f"  {line}")
            self._say("")
            self._say(f"{ended['state']}: first graph {self.graph_seconds:.1f} s after the start, {self._ui_words()}")
        if not green:
            self._say(f"the worker's log ends with\n{self._log('worker')}")
        elif self.manner.figures:
            self._say(f"idle: {self._idle()}")
        self.supervisor.stop(0 if green else 1)

    def _ui_words(self) -> str:
        return f"UI {self.ui_seconds:.1f} s" if self.ui_seconds is not None else "UI not up"

    def _idle(self) -> str:
        time.sleep(_SETTLE_SECONDS)
        roots = [os.getpid()]
        if self.place.server is not None:
            roots.append(self.place.server.pid)
        cost = figures.measure(roots, _SAMPLE_SECONDS)
        return str(cost) if cost else "not measured: this system does not show it"

    def _log(self, name: str) -> str:
        return self.supervisor.output.tail(name)

    def _say(self, text: str) -> None:
        self.supervisor.say(text)

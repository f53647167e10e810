"""Starts the embedded server again when it ends by itself, as the supervisor does with the other processes."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import click

from backbeat.cli.stack.watchdog import Watchdog
from backbeat.errors import BackbeatError
from backbeat.runtime import embedded
from backbeat.runtime.embedded import EmbeddedServer

_LOOK_SECONDS = 0.5
_PAUSE_AFTER_ERROR = 5.0


class ServerGuard(threading.Thread):
    """Looks after one server until `stop`."""

    def __init__(self, server: EmbeddedServer, home: Path, watchdog: Watchdog) -> None:
        super().__init__(name="server-guard", daemon=True)
        self._server, self._home, self._watchdog = server, home, watchdog
        self._stopping = threading.Event()
        watchdog.watch(server.pid)

    def run(self) -> None:
        """Look twice a second."""
        pause = _LOOK_SECONDS
        while not self._stopping.wait(pause):
            pause = _LOOK_SECONDS
            if embedded.is_alive(self._server.pid):
                continue
            self._watchdog.forget(self._server.pid)
            try:
                self._server = embedded.start(self._home, embedded.chosen_server(os.environ.get("BACKBEAT_REDIS_SERVER")))
            except BackbeatError as error:
                _say(f"the embedded server is gone and can't be started: {error}")
                pause = _PAUSE_AFTER_ERROR
                continue
            self._watchdog.watch(self._server.pid)
            _say(f"the embedded server had ended; started again (pid {self._server.pid})")

    def stop(self) -> None:
        """Look no more, and end the server in good order."""
        self._stopping.set()
        self.join()
        self._server.stop()


def _say(text: str) -> None:
    click.echo(f"backbeat: {text}", err=True)

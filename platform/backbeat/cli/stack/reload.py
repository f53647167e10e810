"""Saving a file of a job or a graph takes effect at once: definitions are synced, workers and the web start again."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from backbeat.cli.stack.place import Place
from backbeat.cli.stack.supervisor import Supervisor

_LOOK_SECONDS = 1.0
# Schedulers and keepers know jobs from Redis and the database, so they need no new code.
_CODE_RUNS_IN = ("web", "worker")


class Reloader(threading.Thread):
    """Watches the deployment's own code while the supervisor runs the processes."""

    def __init__(self, place: Place, supervisor: Supervisor) -> None:
        super().__init__(name="reloader", daemon=True)
        self._place, self._supervisor = place, supervisor

    def run(self) -> None:
        """Look every second; a change is acted on once it has been still for a look."""
        seen = acted = _stamps(self._place.root)
        while True:
            time.sleep(_LOOK_SECONDS)
            now = _stamps(self._place.root)
            if now == seen != acted:
                self._act(_changed(acted, now))
                acted = now
            seen = now

    def _act(self, names: list[str]) -> None:
        self._supervisor.say(f"{', '.join(names[:3])}{' …' if names[3:] else ''} changed; syncing definitions")
        argv = [sys.executable, "-m", "backbeat.cli", "sync"]
        done = subprocess.run(  # noqa: S603 - our own command
            argv, cwd=self._place.root, env=self._place.env, capture_output=True, text=True, check=False
        )
        for line in (done.stdout + done.stderr).splitlines()[-12:]:
            self._supervisor.say(f"  {line}")
        self._supervisor.restart(_CODE_RUNS_IN)


def _stamps(root: Path) -> dict[str, int]:
    stamps = {}
    for path in [root / "celeryconfig.py", *(root / "jobs").rglob("*.py"), *(root / "dags").rglob("*.py")]:
        try:
            stamps[str(path.relative_to(root))] = path.stat().st_mtime_ns
        except FileNotFoundError:
            continue  # an editor that writes a new file and renames it
    return stamps


def _changed(before: Mapping[str, int], after: Mapping[str, int]) -> list[str]:
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))

"""`backbeat dev` and `backbeat demo` in a copy of this deployment."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import sys
from pathlib import Path
from typing import Any

from backbeat.runtime.embedded import EmbeddedServer
from tests.support.eventually import eventually
from tests.support.processes import OwnProcess

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("Procfile", "manage.py", "celeryconfig.py", "jobs", "dags", "webadmin")


def copy_of_the_deployment(root: Path) -> None:
    """What a user owns, without the engine, in an empty folder."""
    root.mkdir()
    for part in PARTS:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, root / part)


class Dev(OwnProcess):
    """`backbeat dev` in a copy of this deployment, in a folder with a space in its name."""

    def __init__(self, root: Path, *options: str, command: str = "dev") -> None:
        env = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("BACKBEAT_", "REDIS_", "BROKER_", "DATABASE_"))
        }
        # The editable install of the checkout would else be found first.
        env |= {"PYTHONPATH": str(root), "BACKBEAT_HOME": str(root / ".backbeat")}
        super().__init__("dev", [sys.executable, "-m", "backbeat.cli", command, *options], root, env)
        self.root = root

    def members(self) -> list[int]:
        """Every process that belongs to this deployment, the server included."""
        mark = f"BACKBEAT_HOME={self.root / '.backbeat'}\0".encode()
        return [int(place.parent.name) for place in Path("/proc").glob("[0-9]*/environ") if mark in _read(place)]

    def said(self, pattern: str) -> re.Match[str]:
        """What it printed."""
        return eventually(lambda: re.search(pattern, self.logs(20_000)), within=60, every=0.1, message=self.logs)

    @property
    def ledger(self) -> EmbeddedServer:
        """Its embedded server."""
        return EmbeddedServer(self.root / ".backbeat" / "redis.sock", 0, started=False)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of its database."""
        with sqlite3.connect(self.root / ".backbeat" / "db.sqlite3", timeout=20) as connection:
            return connection.execute(sql).fetchall()

    def names(self) -> set[str]:
        """The jobs in its database."""
        return {name for (name,) in self.rows("select name from backbeat_job")}


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""

"""Where a deployment lies, whose it is now, and the environment that all its processes share."""

from __future__ import annotations

import fcntl
import os
import secrets
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from backbeat.cli.stack import ports
from backbeat.cli.stack.watchdog import TOKEN
from backbeat.conf import Settings
from backbeat.errors import ConfigurationError, NotAllowed
from backbeat.runtime import embedded
from backbeat.runtime.embedded import EmbeddedServer

_DYING_SECONDS = 15.0


def find_root(start: Path) -> Path:
    """The folder with Procfile and manage.py: `start` or one above it. Raises ConfigurationError."""
    for folder in (start, *start.parents):
        if (folder / "Procfile").is_file() and (folder / "manage.py").is_file():
            return folder
    raise ConfigurationError(f"expected a folder with Procfile and manage.py; found none at or above {start}.")


class Lock:
    """Held by the one `backbeat dev` of a deployment; the kernel gives it back however the holder ends."""

    def __init__(self, home: Path) -> None:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = home / "dev.lock"
        self._file: IO[str] = self.path.open("a+")
        deadline = time.monotonic() + _DYING_SECONDS
        while not self._taken():
            holder = self._holder()
            if embedded.is_alive(holder):
                raise NotAllowed(f"this deployment is running already (pid {holder}, {home}). Stop that one first.")
            # It was killed; its watchdog holds the lock until everything that it had started is gone.
            if time.monotonic() > deadline:
                raise NotAllowed(f"processes of a start that was killed (pid {holder}) still run in {home}. End them first.")
            time.sleep(0.1)
        self._file.seek(0)
        self._file.truncate()
        self._file.write(f"{os.getpid()}\n")
        self._file.flush()

    def fileno(self) -> int:
        """The descriptor that holds the lock; whoever inherits it holds the lock too."""
        return self._file.fileno()

    def _taken(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def _holder(self) -> int:
        self._file.seek(0)
        text = self._file.read().strip()
        return int(text) if text.isdecimal() else 0


@dataclass(frozen=True)
class Place:
    """A deployment that is about to run: its folder, its environment, its addresses."""

    root: Path
    home: Path
    env: dict[str, str]
    web_port: int
    flower_port: int
    server: EmbeddedServer | None
    notes: tuple[str, ...]

    @property
    def token(self) -> str:
        """What marks the processes of this start."""
        return self.env[TOKEN]

    @property
    def ui_url(self) -> str:
        """The admin."""
        return f"http://{ports.HOST}:{self.web_port}/admin/"

    @property
    def flower_url(self) -> str:
        """Flower."""
        return f"http://{ports.HOST}:{self.flower_port}"


def home_of(root: Path, env: Mapping[str, str]) -> Path:
    """The state folder: BACKBEAT_HOME, or `.backbeat` in the root."""
    return Path(env.get("BACKBEAT_HOME") or root / ".backbeat").expanduser().absolute()


def prepare(root: Path, env: Mapping[str, str]) -> Place:
    """Pick ports, start the embedded server unless REDIS_URL names one, and make the shared environment.

    Raises ConfigurationError for settings or servers that cannot serve, with the cure.
    """
    # Before anything is started: every mistake in the environment, at once.
    Settings.load(env)
    home = home_of(root, env)
    web, note = _port("BACKBEAT_WEB_PORT", ports.WEB, "the web server", env, frozenset())
    flower, other = _port("BACKBEAT_FLOWER_PORT", ports.FLOWER, "Flower", env, frozenset({web}))
    server = None if env.get("REDIS_URL") else embedded.start(home, embedded.chosen_server(env.get("BACKBEAT_REDIS_SERVER")))
    shared = {
        **env,
        "BACKBEAT_HOME": str(home),
        "BACKBEAT_WEB_PORT": str(web),
        "BACKBEAT_FLOWER_PORT": str(flower),
        "BACKBEAT_FLOWER_URL": f"http://{ports.HOST}:{flower}",
        "DJANGO_SETTINGS_MODULE": env.get("DJANGO_SETTINGS_MODULE", "webadmin.settings"),
        # The programs of the Procfile are those of the environment that runs us.
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), env.get("PATH", os.defpath)]),
        "PYTHONUNBUFFERED": "1",
        TOKEN: secrets.token_hex(8),
    }
    if server is not None:
        shared["REDIS_URL"] = server.ledger_url
        shared.setdefault("BROKER_URL", server.broker_url)
    Settings.load(shared)
    return Place(root, home, shared, web, flower, server, tuple(note for note in (note, other) if note))


def _port(name: str, default: int, whose: str, env: Mapping[str, str], taken: frozenset[int]) -> tuple[int, str]:
    text = env.get(name) or str(default)
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise ConfigurationError(f"{name}: expected a port from 1 to 65535; got {text!r}.")
    port = ports.pick(int(text), taken)
    note = f"port {text} is taken, so {whose} uses {port}; name another one with {name}" if port != int(text) else ""
    return port, note

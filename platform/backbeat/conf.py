"""Settings: read once from the environment, checked whole, frozen afterwards.

Durations are written as in `@job` ("3s", "24h"), sizes as bytes or with a unit ("64KiB"). The tables `VARIABLES`
and `OTHER_VARIABLES` are the list of every name that Backbeat reads; docs/reference/settings.md is checked against them.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from backbeat.core.duration import seconds
from backbeat.core.size import size
from backbeat.errors import ConfigurationError, nearest

CLUSTER_SCHEMES = ("redis+cluster", "rediss+cluster")
REDIS_SCHEMES = ("redis", "rediss", "unix", *CLUSTER_SCHEMES)
BROKER_SCHEMES = ("redis", "rediss", "redis+socket", "sentinel", "amqp", "amqps", "pyamqp")
DATABASE_SCHEMES = ("sqlite", "postgresql", "postgres")
_PREFIX = re.compile(r"^[A-Za-z0-9_.\-]{1,32}$")


@dataclass(frozen=True, slots=True)
class Settings:
    """What every process of one deployment must agree on. Times are seconds, sizes are bytes."""

    redis_url: str
    """The ledger and the time index, as redis-py writes URLs; or `redis+cluster://host:port,host:port`."""
    broker_url: str
    """Where queues live, as kombu writes URLs."""
    database_url: str
    home: Path = Path(".backbeat")
    """State of an embedded deployment: socket, database, secret key, reports."""
    prefix: str = "bb"
    """What every Redis key starts with."""
    slots: int = 32
    """Into how many parts the data in Redis is laid out; fixed for the life of a Redis, which remembers it."""
    shards: int = 16
    """Into how many parts leadership is divided at first; `backbeat scheduler shards` changes it on a live system."""
    scheduler_lease: float = 3.0
    """How long a silent scheduler keeps its shards."""
    run_lease: float = 12.0
    """How long a silent worker keeps its runs."""
    requeue_after: float = 60.0
    """How long a queued run may stay unclaimed before its message is sent again."""
    aging: float = 300.0
    """After how long behind others a queued run is moved to the next more urgent queue, each time again."""
    go_on: float = 0.05
    """For how long the process of a node's message goes on with further ready nodes, which need none; 0 for never."""
    consumer_timeout: float = 1800.0
    """What RabbitMQ's setting of this name says; RabbitMQ does not tell its clients."""
    key_retention: float = 86400.0
    """How long a caller's idempotency key is remembered after its run ended."""
    claim_retention: float = 7 * 86400.0
    """How long the database remembers a run of a job that it guards, counted from the beginning of its newest attempt."""
    result_limit: int = 64 * 1024
    """The largest result, as JSON, that history keeps."""
    log_limit: int = 256 * 1024
    """The most log text that one attempt keeps."""
    history_retention: float | None = None
    """How long history keeps what is over; None keeps it for ever."""
    flower_url: str | None = None
    """Where operators reach Flower; None hides the links."""

    @property
    def heartbeat(self) -> float:
        """Seconds between two renewals of a worker's leases: two may fail before a run is lost."""
        return self.run_lease / 3

    @classmethod
    def load(cls, env: Mapping[str, str]) -> Settings:
        """The settings of an environment. Raises ConfigurationError with every mistake at once."""
        values: dict[str, Any] = {}
        mistakes = [f"{name}: no such setting.{nearest(name, known())}" for name in env if _is_unknown(name)]
        for name, (attribute, read) in VARIABLES.items():
            if text := env.get(name, "").strip():
                try:
                    values[attribute] = read(text)
                except ValueError as error:
                    mistakes.append(f"{name}: {getattr(error, 'sentence', error)}")
        settings = cls(**_with_derived(values))
        mistakes += _contradictions(settings)
        if mistakes:
            raise ConfigurationError("\n".join(mistakes))
        return settings


def known() -> list[str]:
    """Every environment variable that Backbeat reads."""
    return [*VARIABLES, *OTHER_VARIABLES]


def _is_unknown(name: str) -> bool:
    return name.startswith("BACKBEAT_") and name not in VARIABLES and name not in OTHER_VARIABLES


def _with_derived(values: dict[str, Any]) -> dict[str, Any]:
    home = values.setdefault("home", Path(".backbeat").absolute())
    values.setdefault("redis_url", f"unix://{quote(str(socket_of(home)))}?db=0")
    values.setdefault("broker_url", kombu_url(values["redis_url"]))
    values.setdefault("database_url", f"sqlite:///{quote(str(home / 'db.sqlite3'))}")
    return values


def socket_of(home: Path) -> Path:
    """The embedded server's socket: in the state folder, or where the note in it says, when that path was too long."""
    note = home / "redis.socket"
    return (Path(note.read_text().strip()) if note.is_file() else home) / "redis.sock"


def _contradictions(settings: Settings) -> Iterator[str]:
    if is_cluster(settings.broker_url):
        yield (
            "BROKER_URL: expected the broker's address, since REDIS_URL names a Redis Cluster, in which kombu can keep no queues;"
            " got none. Set it to RabbitMQ or to a plain Redis."
        )
    if settings.run_lease < 3:
        yield f"BACKBEAT_RUN_LEASE: expected 3s or more, so that a pause of one second loses no run; got {settings.run_lease:g}s."
    if settings.scheduler_lease < 1:
        yield f"BACKBEAT_SCHEDULER_LEASE: expected 1s or more; got {settings.scheduler_lease:g}s."
    if settings.shards > settings.slots:
        yield f"BACKBEAT_SHARDS: expected at most BACKBEAT_SLOTS ({settings.slots}); got {settings.shards}."
    if settings.history_retention is not None and settings.history_retention < 86_400:
        yield f"BACKBEAT_HISTORY_RETENTION: expected 1d or more; got {settings.history_retention:g}s. Without it history stays."
    if settings.requeue_after <= settings.run_lease:
        lease = f"the run lease ({settings.run_lease:g}s)"
        yield f"BACKBEAT_REQUEUE_AFTER: expected more than {lease}; got {settings.requeue_after:g}s."


def _url(schemes: tuple[str, ...]) -> Callable[[str], str]:
    def read(text: str) -> str:
        scheme = urlsplit(text).scheme
        if scheme not in schemes:
            expected = f"expected a URL that starts with one of {', '.join(schemes)}"
            raise ValueError(f"{expected}; got {_safe(text)}.{nearest(scheme, schemes)}")
        _refuse_broken(text)
        return text

    return read


def _refuse_broken(url: str) -> None:
    """Raise ValueError for what would only be noticed at the first connection, in words that do not name the setting."""
    parts = urlsplit(url)
    if parts.scheme in CLUSTER_SCHEMES and parts.path.strip("/") not in ("", "0"):
        raise ValueError(f"expected no database but 0 after the hosts, since a cluster has no other; got {_safe(url)}.")
    try:
        _ = [urlsplit(f"//{host}").port for host in parts.netloc.rpartition("@")[2].split(",")]
    except ValueError:
        raise ValueError(f"expected a port number after the host; got {_safe(url)}.") from None
    if parts.scheme in ("unix", "redis+socket") and not parts.path.strip("/"):
        raise ValueError(f"expected the path of a socket, as in {parts.scheme}:///run/redis.sock; got {_safe(url)}.")
    if parts.scheme in ("redis", "rediss") and not parts.path.strip("/").isdecimal() and parts.path.strip("/"):
        raise ValueError(
            f"expected the number of a database after the host, as in {parts.scheme}://host:6379/0; got {_safe(url)}."
        )


def _safe(url: str) -> str:
    """A URL without its password, fit for a message."""
    return re.sub(r"//[^@/]*@", "//***@", url)


def _prefix(text: str) -> str:
    if not _PREFIX.match(text):
        raise ValueError(f"expected 1 to 32 letters, digits, '_', '-' or '.'; got {text!r}.")
    return text


def _shards(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 1024:
        raise ValueError(f"expected a whole number from 1 to 1024; got {text!r}.")
    return int(text)


def _duration(text: str) -> float:
    # A bare number in the environment is seconds, as everywhere.
    length = seconds(float(text) if re.fullmatch(r"\d+(\.\d+)?", text) else text)
    assert length is not None  # noqa: S101 - only None gives None, and text is not None
    return length


def _home(text: str) -> Path:
    return Path(text).expanduser().absolute()


def _http(text: str) -> str:
    return _url(("http", "https"))(text).rstrip("/")


VARIABLES: dict[str, tuple[str, Callable[[str], Any]]] = {
    "REDIS_URL": ("redis_url", _url(REDIS_SCHEMES)),
    "BROKER_URL": ("broker_url", _url(BROKER_SCHEMES)),
    "DATABASE_URL": ("database_url", _url(DATABASE_SCHEMES)),
    "BACKBEAT_HOME": ("home", _home),
    "BACKBEAT_PREFIX": ("prefix", _prefix),
    "BACKBEAT_SLOTS": ("slots", _shards),
    "BACKBEAT_SHARDS": ("shards", _shards),
    "BACKBEAT_SCHEDULER_LEASE": ("scheduler_lease", _duration),
    "BACKBEAT_RUN_LEASE": ("run_lease", _duration),
    "BACKBEAT_REQUEUE_AFTER": ("requeue_after", _duration),
    "BACKBEAT_AGING": ("aging", _duration),
    "BACKBEAT_GO_ON": ("go_on", _duration),
    "BACKBEAT_CONSUMER_TIMEOUT": ("consumer_timeout", _duration),
    "BACKBEAT_KEY_RETENTION": ("key_retention", _duration),
    "BACKBEAT_CLAIM_RETENTION": ("claim_retention", _duration),
    "BACKBEAT_RESULT_LIMIT": ("result_limit", size),
    "BACKBEAT_LOG_LIMIT": ("log_limit", size),
    "BACKBEAT_HISTORY_RETENTION": ("history_retention", _duration),
    "BACKBEAT_FLOWER_URL": ("flower_url", _http),
}

OTHER_VARIABLES: dict[str, str] = {
    "BACKBEAT_OUTPUTS": "where outputs of DAG nodes go that are too large for Redis: a folder, or a URL for fsspec",
    "BACKBEAT_REDIS_SERVER": "the server program of `backbeat dev`: a path, or `path` to look on PATH",
    "BACKBEAT_WEB_PORT": "the web server's port in the Procfile",
    "BACKBEAT_FLOWER_PORT": "Flower's port in the Procfile",
    "BACKBEAT_STACK": "marks the processes of one `backbeat dev`, so that none is left behind",
    "BACKBEAT_SECRET_KEY": "Django's secret key; without it one is made in BACKBEAT_HOME at first use",
    "BACKBEAT_HOSTS": "the names, parted by commas, under which the web server may be reached; loopback by default",
    "BACKBEAT_ORIGINS": "origins such as https://jobs.example.org from which forms may be sent through a proxy",
    "BACKBEAT_DEBUG": "1 shows Django's error pages; never in production",
    "BACKBEAT_RUN_ID": "set for programs that commands.run starts: the id of their run",
    "BACKBEAT_ATTEMPT": "set for programs that commands.run starts: which try of the run they are",
    "BACKBEAT_BEGAN": "when `make` began (epoch seconds), for the figures of `backbeat demo`",
}
"""Variables that other rooms read for themselves, name -> what it is for; listed so that a typing error is still noticed."""


def is_cluster(redis_url: str) -> bool:
    """Whether a URL names nodes of a Redis Cluster."""
    return redis_url.partition("://")[0] in CLUSTER_SCHEMES


def kombu_url(redis_url: str) -> str:
    """The same server and database as `redis_url`, as kombu and Celery's result backend write it."""
    parts = urlsplit(redis_url)
    if parts.scheme != "unix":
        return redis_url
    database = parse_qs(parts.query).get("db", ["0"])[0]
    user = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
    return f"redis+socket://{user}{parts.path}?virtual_host={database}"


def same_server(broker_url: str, redis_url: str) -> bool:
    """Whether a queue of the broker is a key of the ledger's own database, so that a script may push to it."""
    broker = _place(broker_url)
    return broker is not None and broker == _place(redis_url)


def _place(url: str) -> tuple[str, str] | None:
    """The socket or host and port, and the database; None for anything that is not one Redis server."""
    if ";" in url or "," in urlsplit(url).netloc:
        return None
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    if parts.scheme in ("unix", "redis+socket", "socket"):
        return os.path.normpath(unquote(parts.path)), (query.get("db") or query.get("virtual_host") or ["0"])[0].strip("/")
    if parts.scheme not in ("redis", "rediss"):
        return None
    host = {"localhost": "127.0.0.1", "::1": "127.0.0.1", "": "127.0.0.1"}.get(parts.hostname or "", parts.hostname)
    database = (query.get("db") or query.get("virtual_host") or [parts.path])[0].strip("/")
    return f"{host}:{parts.port or 6379}", database or "0"


_active: Settings | None = None


def settings() -> Settings:
    """This process's settings: the environment as it was when they were first asked for."""
    global _active
    if _active is None:
        _active = Settings.load(os.environ)
    return _active


@contextmanager
def override(**changes: Any) -> Iterator[Settings]:
    """Other settings for a while, in every thread of this process; for tests."""
    global _active
    before, _active = _active, replace(settings(), **changes)
    try:
        yield _active
    finally:
        _active = before

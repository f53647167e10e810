"""Django's DATABASES entry from a DATABASE_URL."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from backbeat.errors import ConfigurationError, nearest

ENGINES = {
    "sqlite": "django.db.backends.sqlite3",
    "postgresql": "django.db.backends.postgresql",
    "postgres": "django.db.backends.postgresql",
}

KEPT_OPEN = 60
"""Seconds for which a thread keeps its connection from one piece of work to the next."""


def database(url: str) -> dict[str, Any]:
    """The entry for `sqlite:///path` or `postgresql://user:password@host:port/name?option=value`.

    Query parameters become the driver's options (`sslmode=require`, `service=…`), except `conn_max_age` (seconds).
    Raises ConfigurationError, without the password in its message.
    """
    parts = urlsplit(url)
    if parts.scheme not in ENGINES:
        known = "sqlite:///path or postgresql://host/name"
        raise ConfigurationError(f"DATABASE_URL: expected {known}; got scheme {parts.scheme!r}.{nearest(parts.scheme, ENGINES)}")
    options = dict(parse_qsl(parts.query))
    name = unquote(parts.path[1:])
    if not name:
        raise ConfigurationError("DATABASE_URL: expected a database after the host, such as sqlite:///data/db.sqlite3; got none.")
    return _sqlite(name) if parts.scheme == "sqlite" else _postgresql(parts, name, options)


def _sqlite(name: str) -> dict[str, Any]:
    path = Path(name)
    if name != ":memory:":
        path.parent.mkdir(parents=True, exist_ok=True)
    return {
        "ENGINE": ENGINES["sqlite"],
        "NAME": name if name == ":memory:" else path,
        # Opening it costs a keeper that looks at it each second more than its questions do.
        "CONN_MAX_AGE": KEPT_OPEN,
        "OPTIONS": {
            # Writers queue for the lock when their transaction begins. With SQLite's default, a reader that turns
            # writer fails at once ("database is locked"), however long the timeout is.
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        },
    }


def _postgresql(parts: Any, name: str, options: dict[str, str]) -> dict[str, Any]:
    try:
        port = parts.port
    except ValueError:
        raise ConfigurationError("DATABASE_URL: expected a port number between ':' and '/'.") from None
    return {
        "ENGINE": ENGINES["postgresql"],
        "NAME": name,
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        # A socket folder may be given as ?host=/path, as libpq has it.
        "HOST": options.pop("host", "") or unquote(parts.hostname or ""),
        "PORT": str(port or options.pop("port", "")),
        "CONN_MAX_AGE": int(options.pop("conn_max_age", KEPT_OPEN)),
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": options,
    }

"""Which database a job means: a Django alias, a URL, an SQLite file, or `env:NAME` for a URL kept in the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

SQLITE, POSTGRESQL = "sqlite", "postgresql"

# libpq's connection keywords and the variables that carry them, so that nothing of them stands on a command line.
_LIBPQ = {
    "dbname": "PGDATABASE",
    "host": "PGHOST",
    "hostaddr": "PGHOSTADDR",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "passfile": "PGPASSFILE",
    "service": "PGSERVICE",
    "options": "PGOPTIONS",
    "application_name": "PGAPPNAME",
    "connect_timeout": "PGCONNECT_TIMEOUT",
    "channel_binding": "PGCHANNELBINDING",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "sslcrl": "PGSSLCRL",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
}


class BadDatabase(Exception):
    """There is no such database, or it is of a kind that can't be backed up here."""


@dataclass(frozen=True, slots=True)
class Database:
    """A database and how to reach it."""

    engine: str
    name: str
    """The database's name; for SQLite the path of its file."""
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    """PostgreSQL's connection as libpq variables. The password is here and nowhere else, so this is never shown."""

    @property
    def label(self) -> str:
        """A short name that is fit for file names."""
        stem = Path(self.name).stem if self.engine == SQLITE else self.name
        return re.sub(r"[^A-Za-z0-9_.]+", "_", stem).strip("._") or "database"

    def named(self, name: str) -> Database:
        """Another database of the same server."""
        return replace(self, name=name, env={**self.env, "PGDATABASE": name})


def find(source: str) -> Database:
    """The database that a job's argument names. Raises BadDatabase, with the nearest alias and never with a password."""
    if source.startswith("env:"):
        return _from_url(_variable(source.removeprefix("env:")), shown=source)
    if "://" in source:
        return _from_url(source, shown=_without_password(source))
    aliases = _aliases()
    if source in aliases:
        return _from_django(source, str(aliases[source]["ENGINE"]))
    if Path(source).is_file():
        return Database(SQLITE, str(Path(source).absolute()))
    close = get_close_matches(source, aliases, n=1)
    near = f" Did you mean {close[0]!r}?" if close else ""
    shown = "a text that may hold a password" if re.search("@|passw", source, re.IGNORECASE) else repr(source)
    known = f"one of Django's databases ({', '.join(sorted(aliases))}), " if aliases else ""
    raise BadDatabase(f"expected {known}a URL, env:NAME or the path of an SQLite file; got {shown}.{near}")


def _variable(name: str) -> str:
    if not os.environ.get(name):
        raise BadDatabase(f"the environment variable {name} is not set in this worker; it should hold a database URL.")
    return os.environ[name]


def _aliases() -> dict[str, Mapping[str, Any]]:
    from django.conf import settings  # here, so that URLs and paths need no Django project
    from django.core.exceptions import ImproperlyConfigured

    try:
        return dict(settings.DATABASES)
    except (ImproperlyConfigured, ImportError):
        return {}


def _from_django(alias: str, engine: str) -> Database:
    kind = engine.rpartition(".")[2]
    if kind not in ("sqlite3", "postgresql", "postgis"):
        raise BadDatabase(f"expected SQLite or PostgreSQL; Django's database {alias!r} has the engine {engine!r}.")
    from django.db import connections

    settings = connections[alias].settings_dict  # not settings.DATABASES: a test run gives the connections other names
    if kind == "sqlite3":
        return _sqlite(str(settings["NAME"]), alias)
    options = {name: value for name, value in settings.get("OPTIONS", {}).items() if name in _LIBPQ}
    plain = {"dbname": "NAME", "host": "HOST", "port": "PORT", "user": "USER", "password": "PASSWORD"}
    return _postgresql({**options, **{keyword: settings[name] for keyword, name in plain.items() if settings.get(name)}})


def _from_url(url: str, *, shown: str) -> Database:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        cure = "In a password, / ? # : @ are written %2F %3F %23 %3A %40."
        raise BadDatabase(f"expected a database URL; got {shown}, whose port or host is not valid. {cure}") from None
    scheme = parts.scheme.partition("+")[0]
    if scheme in ("sqlite", "sqlite3"):
        # As dj-database-url and SQLAlchemy read it: three slashes open a relative path, four an absolute one.
        return _sqlite(unquote(parts.path.removeprefix("/")), shown)
    if scheme not in ("postgres", "postgresql"):
        raise BadDatabase(f"expected a sqlite:// or postgresql:// URL; got {shown}.")
    query = dict(parse_qsl(parts.query))
    unknown = [name for name in query if name not in _LIBPQ or name == "dbname"]
    if unknown:
        raise BadDatabase(f"{shown}: the parameter {unknown[0]!r} is not known here. Known: {', '.join(sorted(_LIBPQ))}.")
    plain = {"host": parts.hostname, "port": port, "user": parts.username, "password": parts.password, "dbname": parts.path[1:]}
    return _postgresql({**query, **{name: unquote(str(value)) for name, value in plain.items() if value}})


def _sqlite(path: str, shown: str) -> Database:
    if not path or ":memory:" in path or "mode=memory" in path:
        raise BadDatabase(f"{shown}: a database in memory is seen by one process only, so a job can't back it up.")
    if not Path(path).is_file():
        raise BadDatabase(f"{shown}: there is no SQLite file {path!r} on this worker.")
    return Database(SQLITE, str(Path(path).absolute()))


def _postgresql(keywords: Mapping[str, Any]) -> Database:
    if not keywords.get("dbname") and not keywords.get("service"):
        raise BadDatabase("expected a PostgreSQL connection that names its database; got one without a name.")
    env = {_LIBPQ[name]: str(value) for name, value in keywords.items()}
    return Database(POSTGRESQL, str(keywords.get("dbname") or keywords["service"]), env)


def _without_password(url: str) -> str:
    return re.sub(r"(?<=://).*@", "…@", url).partition("?")[0]

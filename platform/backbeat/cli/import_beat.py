"""`backbeat import django-celery-beat`: its tables, read with nothing but SQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import click

from backbeat.cli.import_options import moving, moving_options, row_of
from backbeat.cli.import_report import Report, Sheet
from backbeat.cli.import_saving import finish
from backbeat.cli.import_shadow import shadow
from backbeat.conf import DATABASE_SCHEMES, settings
from backbeat.core.beat_jobs import Moving
from backbeat.core.beat_tables import SCHEDULES, TASKS, Row, entry_of, snapshot_of
from backbeat.core.shadow import Snapshot
from backbeat.core.taking import Names
from backbeat.core.zone import load
from backbeat.errors import ConfigurationError, StoreUnavailable, nearest

Read = Callable[[str], list[dict[str, Any]]]
_BOTH_FIRE = "Until the old beat is stopped, it fires these as well."
LOOK_EVERY = 2.0
WRITES_EVERY = 200.0
"""django-celery-beat writes down what it fired every three minutes (its sync_every)."""
_SHOWN = ("args", "kwargs", "queue", "priority", "enabled", "one_off", "last_run_at", "total_run_count")


class NoTables(click.ClickException):
    """The database is no django-celery-beat's."""

    exit_code = 3


@click.command("django-celery-beat")
@click.option("--database", "url", help="Where its tables are, as in DATABASE_URL. Default: this deployment's own database.")
@moving_options
def django_celery_beat(url: str | None, **options: Any) -> None:
    """Make a job of each periodic task of django-celery-beat. Its tables are only read, and it need not be installed.

    Names, arguments, zones, limits and the enabled flag are kept, and jobs go on after the last run. All or nothing: when
    one task can't be taken, nothing is imported, unless --keep-going is given. The same import again changes nothing.

    Exit code 0 when every task was taken, 2 when one was not, 3 without its tables, 5 without a database.
    """
    how = moving("django-celery-beat", options)
    url = url or settings().database_url
    with opened(url) as read:
        sheet = _sheet(_shown_url(url), read, how, options["tz"])
    report = Report([sheet], options["tz"], how.now, noun="entry", reminders=[_BOTH_FIRE])
    if options["shadow"]:
        look = lambda: _snapshots(url, options["tz"])  # noqa: E731 - a name for what is asked again and again
        shadow(report, look, options["shadow"], every=LOOK_EVERY, grace=WRITES_EVERY, output=options["output"])
        return
    finish(report, options)


def _snapshots(url: str, tz: str) -> dict[str, Snapshot]:
    # A connection for each look: a transaction that stays open would show the same rows for ever.
    found = {}
    with opened(url) as read:
        for row in read(TASKS):
            # A row that can't be read was refused, and is not compared.
            with suppress(ValueError, TypeError):
                found[str(row["name"])] = snapshot_of(row, load(tz))
    return found


@contextmanager
def opened(url: str) -> Iterator[Read]:
    """The database of a URL, for reading: a function from a table's name to its rows. Raises StoreUnavailable."""
    connect = {"sqlite": _sqlite, "postgresql": _postgresql, "postgres": _postgresql}.get(urlsplit(url).scheme)
    if connect is None:
        scheme = urlsplit(url).scheme
        raise ConfigurationError(
            f"--database: expected a URL that starts with one of {', '.join(DATABASE_SCHEMES)}; got {scheme!r}."
            f"{nearest(scheme, DATABASE_SCHEMES)} From another kind of database, copy the tables into one of these first."
        )
    with connect(url) as read:
        yield read


@contextmanager
def _sqlite(url: str) -> Iterator[Read]:
    path = Path(unquote(urlsplit(url).path[1:]))
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=20)
    except sqlite3.OperationalError as error:
        raise StoreUnavailable(f"the database {path} can't be opened: {error}.") from error
    connection.row_factory = sqlite3.Row
    try:
        yield lambda table: _rows(connection, table, sqlite3.OperationalError)
    except sqlite3.DatabaseError as error:
        raise StoreUnavailable(f"the database {path} can't be read: {error}.") from error
    finally:
        connection.close()


@contextmanager
def _postgresql(url: str) -> Iterator[Read]:
    try:
        import psycopg
        from psycopg.rows import dict_row
    except ModuleNotFoundError as error:
        raise ConfigurationError("PostgreSQL needs its driver: pip install 'backbeat[postgresql]'.") from error
    try:
        connection = psycopg.connect(url, row_factory=dict_row, connect_timeout=10)
    except psycopg.OperationalError as error:
        raise StoreUnavailable(f"the database does not answer: {error}.") from error
    connection.read_only = True
    with connection:
        yield lambda table: _rows(connection, table, psycopg.errors.UndefinedTable)


def _rows(connection: Any, table: str, absent: type[Exception]) -> list[dict[str, Any]]:
    try:
        # The name is one of ours; a table's name can't be a parameter.
        return [dict(row) for row in connection.execute(f"SELECT * FROM {table}").fetchall()]  # noqa: S608
    except absent as error:
        raise NoTables(f"there are no tables of django-celery-beat: {error}. Say where they are by --database.") from error


def _sheet(source: str, read: Read, how: Moving, tz: str) -> Sheet:
    zone, names = load(tz), Names()
    schedules = {kind: {row["id"]: row for row in read(table)} for kind, table in SCHEDULES.items()}
    tasks = sorted(read(TASKS), key=lambda row: str(row["name"]))
    rows = [
        row_of(str(task["name"]), lambda task=task: entry_of(task, schedules, zone), how, names, _facts(task))  # type: ignore[misc] # the default binds it
        for task in tasks
    ]
    counts = {"entries": len(rows), "disabled": sum(not task["enabled"] for task in tasks)}
    return Sheet(source, "periodic tasks of django-celery-beat", rows, counts)


def _facts(task: Row) -> Mapping[str, Any]:
    shown = {name: task.get(name) for name in ("task", *_SHOWN)}
    return {name: value if isinstance(value, (str, int, float, type(None))) else str(value) for name, value in shown.items()}


def _shown_url(url: str) -> str:
    """A URL without its user and password, fit for a report."""
    parts = urlsplit(url)
    return unquote(parts.path[1:]) if parts.scheme == "sqlite" else f"{parts.hostname or 'localhost'}{parts.path}"

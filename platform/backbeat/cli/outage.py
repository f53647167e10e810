"""A server that a command needs is away: one sentence and its cure, whichever command it was."""

from __future__ import annotations

import sys

from backbeat.errors import StoreUnavailable

# PostgreSQL's codes: undefined_table, undefined_column.
_UNDEFINED = {"42P01", "42703"}


def as_outage(error: Exception) -> StoreUnavailable | None:
    """What to say of an error of redis-py or of Django's database layer; None when a server was not the reason.

    Neither library is imported for it: an error of theirs can't come up before somebody else did that.
    """
    if "redis" in sys.modules:
        from backbeat.runtime.insist import OUTAGE

        if isinstance(error, OUTAGE):
            return _redis(error)
    if "django.db" in sys.modules:
        from django.db import InterfaceError, OperationalError, ProgrammingError

        if isinstance(error, (InterfaceError, OperationalError, ProgrammingError)):
            return _database(error, mistake=isinstance(error, ProgrammingError))
    return None


def _redis(error: Exception) -> StoreUnavailable:
    cure = "Start it, or point REDIS_URL at one that runs; `backbeat dev` brings its own."
    return StoreUnavailable(f"Redis does not answer: {str(error).rstrip('.')}. {cure}")


def _database(error: Exception, *, mistake: bool) -> StoreUnavailable | None:
    said = str(error).strip().partition("\n")[0].rstrip(".")
    undefined = getattr(error.__cause__, "sqlstate", "") in _UNDEFINED
    if undefined or said.startswith(("no such table", "no such column")):
        cure = "Bring it up to date with `python manage.py migrate`; `backbeat dev` does so by itself."
        return StoreUnavailable(f"The database lacks tables or columns of this version: {said}. {cure}")
    if mistake:
        return None
    cure = "Jobs go on and events wait; start the database, or correct DATABASE_URL."
    return StoreUnavailable(f"The database does not answer: {said}. {cure}")

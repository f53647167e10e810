"""Keeping the history small and quick: old rows by policy, VACUUM and ANALYZE, and how large everything is.

`dags/history_maintenance.py` puts these jobs together. Only tables of Backbeat's own history are ever touched.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from backbeat import current_run, job
from jobs._history_tables import GOOD, table

SHORTEST_DAYS = 7.0
"""No policy removes what is younger: whoever comes back from a holiday weekend still finds it."""
LOOSE = 0.25
"""The share of free pages above which an SQLite file is written anew."""


class BadPolicy(Exception):
    """The policy would remove what is still fresh, or keeps what failed for a shorter time than what went well."""


@job
def sizes() -> dict[str, Any]:
    """How large the history is: `{"bytes", "free_bytes", "tables"}`, where a table is `{"table", "rows", "bytes"}`.

    On PostgreSQL a partition counts as a table, and rows are its planner's estimate; on SQLite only the file has a size.
    """
    with _cursor() as cursor:
        return _sizes_of_postgresql(cursor) if cursor.db.vendor == "postgresql" else _sizes_of_sqlite(cursor)


@job
def remove_old(
    what: Literal["Run", "DagRun", "Omission"],
    keep_good_days: float = 90.0,
    keep_bad_days: float = 365.0,
    *,
    batch: int = 1_000,
    most: int = 500_000,
) -> dict[str, Any]:
    """Remove rows of one table that ended longer ago than the policy keeps them; what has not ended is never removed.

    Good runs (succeeded, skipped) and omissions are kept for `keep_good_days`, all others for `keep_bad_days`. Each `batch` is
    a transaction of its own, so that others can write in between. Returns `{"table", "removed", "more"}`; `more` says that
    `most` were removed and the next run goes on. Raises BadPolicy.
    """
    if not SHORTEST_DAYS <= keep_good_days <= keep_bad_days:
        expected = f"expected {SHORTEST_DAYS:g} <= keep_good_days <= keep_bad_days"
        raise BadPolicy(f"{expected}; got {keep_good_days!r} and {keep_bad_days!r} days.")
    removed = 0
    for rows in _old(what, keep_good_days, keep_bad_days):
        while removed < most and (count := _removed(what, rows, min(batch, most - removed))):
            removed += count
    current_run().log.info("%d rows of %s removed", removed, what)
    return {"table": what, "removed": removed, "more": removed >= most}


@job
def tidy() -> dict[str, Any]:
    """Give freed space back and tell the planner what is there: VACUUM (ANALYZE) on PostgreSQL, and on SQLite ANALYZE,
    with a VACUUM before it when a quarter of the file is free (writers wait meanwhile). Returns `{"did": [...]}`.
    """
    with _cursor() as cursor:
        did = [*_tidied(cursor)]
        for statement in did:
            cursor.execute(statement)
    return {"did": did}


@job
def write_summary(
    before: dict[str, Any],
    removed: list[dict[str, Any]],
    tidied: dict[str, Any],
    after: dict[str, Any],
    *,
    folder: str | None = None,
) -> dict[str, Any]:
    """What a maintenance came to, as `history-maintenance.json` in `folder`, by default `reports/` in BACKBEAT_HOME."""
    target = Path(folder) if folder else Path(os.environ.get("BACKBEAT_HOME") or ".backbeat", "reports")
    target.mkdir(parents=True, exist_ok=True)
    summary = {
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "bytes_before": before["bytes"],
        "bytes_after": after["bytes"],
        "removed": {row["table"]: row["removed"] for row in removed},
        "more": any(row["more"] for row in removed),
        "did": tidied["did"],
        "tables": after["tables"],
    }
    path = target / "history-maintenance.json"
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    part.replace(path)
    return {**summary, "path": str(path.absolute())}


def _old(what: str, keep_good_days: float, keep_bad_days: float) -> Iterator[Any]:
    """Query sets of rows that may go."""
    good_until, bad_until = (datetime.now(UTC) - timedelta(days=days) for days in (keep_good_days, keep_bad_days))
    rows = table(what)
    if what == "Omission":
        yield rows.filter(last__lt=good_until)
        return
    # queued_at has the index; what ended by then was queued by then.
    yield rows.filter(queued_at__lt=good_until, finished_at__lt=good_until, state__in=GOOD)
    yield rows.filter(queued_at__lt=bad_until, finished_at__lt=bad_until).exclude(state__in=GOOD)


def _removed(what: str, rows: Any, batch: int) -> int:
    from django.db import transaction

    with transaction.atomic():
        keys = list(rows.values_list("pk", flat=True)[:batch])
        if what == "Run":
            table("Attempt").filter(run_id__in=keys).delete()
        table(what).filter(pk__in=keys).delete()
    return len(keys)


@contextmanager
def _cursor() -> Iterator[Any]:
    from django.db import connection

    with connection.cursor() as cursor:
        yield cursor


def _tables(cursor: Any) -> list[str]:
    names = cursor.db.introspection.table_names(cursor)
    return [name for name in names if name.startswith("backbeat_")]


def _tidied(cursor: Any) -> Iterator[str]:
    if cursor.db.vendor == "postgresql":
        yield from (f'VACUUM (ANALYZE) "{name}"' for name in _tables(cursor))
        return
    pages, free = (_pragma(cursor, name) for name in ("page_count", "freelist_count"))
    if free > LOOSE * pages:
        yield "VACUUM"
    yield "ANALYZE"


def _sizes_of_sqlite(cursor: Any) -> dict[str, Any]:
    page, pages, free = (_pragma(cursor, name) for name in ("page_size", "page_count", "freelist_count"))
    rows = []
    for name in _tables(cursor):
        cursor.execute(f'SELECT count(*) FROM "{name}"')  # noqa: S608 - the name is the database's own
        rows.append({"table": name, "rows": cursor.fetchone()[0], "bytes": None})
    return {"bytes": page * pages, "free_bytes": page * free, "tables": rows}


def _sizes_of_postgresql(cursor: Any) -> dict[str, Any]:
    cursor.execute(
        "SELECT c.relname, greatest(c.reltuples, 0)::bigint, pg_total_relation_size(c.oid) FROM pg_class c "
        "WHERE c.relkind = 'r' AND c.relname LIKE 'backbeat\\_%' AND pg_table_is_visible(c.oid) ORDER BY 1"
    )
    rows = [{"table": name, "rows": rows, "bytes": size} for name, rows, size in cursor.fetchall()]
    return {"bytes": sum(row["bytes"] for row in rows), "free_bytes": None, "tables": rows}


def _pragma(cursor: Any, name: str) -> int:
    cursor.execute(f"PRAGMA {name}")
    return int(cursor.fetchone()[0])

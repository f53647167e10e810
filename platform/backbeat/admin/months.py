"""History by the month: room is made ahead, and what is older than the retention goes.

On PostgreSQL runs, attempts and omissions lie in partitions of one month each. A month goes whole: it is detached, which touches
no row, and dropped unless it is to stay as a table of its own. What has no such month (older occurrences, a time when no keeper
ran) lies in the partition for the rest; from there, from SQLite, and from the small table of DAG runs it is deleted in bounded
steps. See docs/decisions/010-history-by-month.md.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.db import OperationalError, connections, transaction

log = logging.getLogger(__name__)

AHEAD = 2
"""Months after this one for which there is room."""
ROWS_A_STEP = 2_000
LOCK_TIMEOUT = "2s"
"""For so long a change of partitions waits for readers, and holds up others meanwhile; then the keeper comes again."""

_RUNS, _ATTEMPTS, _OMISSIONS, _DAG_RUNS = "backbeat_run", "backbeat_attempt", "backbeat_omission", "backbeat_dagrun"
# Tables whose months are made and go together, each with the column that files a row.
_TOGETHER = (((_RUNS, "month"), (_ATTEMPTS, "month")), ((_OMISSIONS, "first"),))
# When a row last told of something new.
_NEWEST = {_RUNS: "queued_at", _OMISSIONS: "last", _DAG_RUNS: "queued_at"}
_NAMED = re.compile(r"_(\d{4})_(\d\d)$")


@dataclass(frozen=True, slots=True)
class Pruned:
    """What a pruning took away: names of months' tables, and how many rows of other places."""

    months: tuple[str, ...] = ()
    rows: int = 0


def make_room(now: datetime, using: str = "default") -> list[str]:
    """Make the partitions of this month and the next ones where they are missing; their names. Nothing on SQLite."""
    if connections[using].vendor != "postgresql":
        return []
    made: list[str] = []
    for tables in _TOGETHER:
        for first in _months_from(_month_of(now)):
            if _is_missing(using, tables[0][0], first):
                with _alone(using) as cursor:
                    # Looked for once more, now that no other keeper makes them.
                    wanted = [one for one in tables if _is_missing(using, one[0], first)]
                    made += [_make(cursor, table, column, first) for table, column in wanted]
    return made


def prune(before: datetime, using: str = "default", *, keep: bool = False) -> Pruned:
    """Take away what is older than `before`: every month that was over by then, and ROWS_A_STEP rows of each other place.

    Call again until nothing is pruned. With `keep` a detached month stays, as a table that nothing reads any more.
    """
    partitioned = connections[using].vendor == "postgresql"
    months = _detach(before, using, keep=keep) if partitioned else []
    rest = "_rest" if partitioned else ""
    with transaction.atomic(using=using), connections[using].cursor() as cursor:
        rows = _delete(cursor, _RUNS + rest, _NEWEST[_RUNS], "run_id", before, _ATTEMPTS + rest)
        rows += _delete(cursor, _OMISSIONS + rest, _NEWEST[_OMISSIONS], "id", before)
        rows += _delete(cursor, _DAG_RUNS, _NEWEST[_DAG_RUNS], "dag_run_id", before)
    return Pruned(tuple(months), rows)


def sizes(using: str = "default") -> list[dict[str, Any]]:
    """Table, rows and bytes of each part of history; rows are the planner's estimate. Nothing on SQLite: it has no figures."""
    if connections[using].vendor != "postgresql":
        return []
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT oid::regclass::text, greatest(reltuples, 0)::bigint, pg_total_relation_size(oid) "
            "FROM unnest(%s::text[]) AS whole "
            "LEFT JOIN LATERAL pg_partition_tree(whole::regclass) AS part ON part.isleaf "
            "JOIN pg_class ON oid = coalesce(part.relid, whole::regclass) ORDER BY 1",
            [[_RUNS, _ATTEMPTS, _OMISSIONS, _DAG_RUNS]],
        )
        return [{"table": table, "rows": rows, "bytes": size} for table, rows, size in cursor.fetchall()]


def _detach(before: datetime, using: str, *, keep: bool) -> list[str]:
    """A month that was over stays while anything in it is newer: a backfill, say, or a pause that goes on."""
    gone: list[str] = []
    for tables in _TOGETHER:
        parent = tables[0][0]
        for first in _months_of(using, parent):
            if _after(first) <= before.date() and _is_old(using, _named(parent, first), _NEWEST[parent], before):
                with _alone(using) as cursor:
                    there = [table for table, _ in tables if not _is_missing(using, table, first)]
                    gone += [_take_away(cursor, table, first, keep=keep) for table in there]
    return gone


def _make(cursor: Any, table: str, column: str, first: date) -> str:
    """A month's partition, with the rows that had to lie among the rest so far."""
    name, bounds = _named(table, first), (f"{first} 00:00+00", f"{_after(first)} 00:00+00")
    cursor.execute(f'CREATE TABLE "{name}" (LIKE "{table}" INCLUDING DEFAULTS INCLUDING CONSTRAINTS)')
    moved = f'DELETE FROM "{table}_rest" WHERE "{column}" >= %s AND "{column}" < %s RETURNING *'  # noqa: S608 - names of our own
    cursor.execute(f'WITH moved AS ({moved}) INSERT INTO "{name}" SELECT * FROM moved', bounds)  # noqa: S608 - as above
    cursor.execute(f"ALTER TABLE \"{table}\" ATTACH PARTITION \"{name}\" FOR VALUES FROM ('{bounds[0]}') TO ('{bounds[1]}')")
    return name


def _take_away(cursor: Any, table: str, first: date, *, keep: bool) -> str:
    name = _named(table, first)
    cursor.execute(f'ALTER TABLE "{table}" DETACH PARTITION "{name}"')
    cursor.execute(f'ALTER TABLE "{name}" RENAME TO "{name}_detached"' if keep else f'DROP TABLE "{name}"')
    log.info("history: %s is %s", name, "detached" if keep else "dropped")
    return name


def _delete(cursor: Any, table: str, newest: str, key: str, before: datetime, parts: str = "") -> int:
    """Delete some rows, and the `parts` of a run with it."""
    moment = cursor.db.ops.adapt_datetimefield_value(before)
    old = f'SELECT "{key}" FROM "{table}" WHERE "{newest}" < %s ORDER BY "{newest}" LIMIT {ROWS_A_STEP}'  # noqa: S608 - names of our own
    cursor.execute(old, [moment])
    keys = [row[0] for row in cursor.fetchall()]
    if not keys:
        return 0
    places = ", ".join(["%s"] * len(keys))
    for place in (parts, table) if parts else (table,):
        cursor.execute(f'DELETE FROM "{place}" WHERE "{key}" IN ({places})', keys)  # noqa: S608 - as above
    return len(keys)


@contextmanager
def _alone(using: str) -> Iterator[Any]:
    """A cursor in a transaction in which no other keeper changes partitions. What a reader holds up is left for the next time."""
    try:
        with transaction.atomic(using=using), connections[using].cursor() as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext('backbeat.months'))")
            yield cursor
    except OperationalError as error:
        if "lock timeout" not in str(error):
            raise
        log.info("history: somebody reads a table whose months are to change; that is tried again later")


def _months_of(using: str, table: str) -> list[date]:
    """The first days of the months that have a partition."""
    with connections[using].cursor() as cursor:
        cursor.execute("SELECT relid::regclass::text FROM pg_partition_tree(%s::regclass) WHERE isleaf", [table])
        found = [_NAMED.search(row[0].strip('"')) for row in cursor.fetchall()]
    return sorted(date(int(one[1]), int(one[2]), 1) for one in found if one)


def _is_missing(using: str, table: str, first: date) -> bool:
    return first not in _months_of(using, table)


def _is_old(using: str, table: str, column: str, before: datetime) -> bool:
    with connections[using].cursor() as cursor:
        cursor.execute(f'SELECT max("{column}") < %s FROM "{table}"', [before])  # noqa: S608 - names of our own
        return bool(cursor.fetchone() != (False,))


def _named(table: str, first: date) -> str:
    return f"{table}_{first:%Y_%m}"


def _months_from(first: date) -> Iterator[date]:
    for _ in range(AHEAD + 1):
        yield first
        first = _after(first)


def _month_of(now: datetime) -> date:
    return now.date().replace(day=1)


def _after(first: date) -> date:
    return date(first.year + first.month // 12, first.month % 12 + 1, 1)

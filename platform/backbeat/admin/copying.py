"""Rows into PostgreSQL by COPY: into a table itself, or beside it when some of them may be there already.

Measured against one array for each column (docs/decisions/020-history-by-copy.md): the driver spends four times as long on
arrays as on COPY.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any


def copy(cursor: Any, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Insert the rows. Raises Django's IntegrityError when a key is taken."""
    with cursor.db.wrap_database_errors, cursor.copy(f'COPY "{table}" ({_names(columns)}) FROM STDIN') as stream:
        for row in rows:
            stream.write_row(row)


def staged(cursor: Any, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """The name of a table of this session's own that holds the rows until the transaction ends."""
    name = f"{table}_staged"
    cursor.execute(
        f'CREATE TEMPORARY TABLE IF NOT EXISTS "{name}" ON COMMIT DELETE ROWS '  # noqa: S608 - names of our own
        f'AS SELECT {_names(columns)} FROM "{table}" LIMIT 0'
    )
    copy(cursor, name, columns, rows)
    return name


def _names(columns: Sequence[str]) -> str:
    return ", ".join(f'"{column}"' for column in columns)

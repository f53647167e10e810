"""Rows into PostgreSQL by COPY: into a table itself, or beside it when some of them may be there already.

Measured against one array for each column (docs/decisions/020-history-by-copy.md): the driver spends four times as long on
arrays as on COPY. Its own `write_row` takes half of what is left, so the text of COPY is written here
(docs/decisions/029-events-cost-less.md): every column is a number, a moment, a day or text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime
from functools import lru_cache
from typing import Any

A_BLOCK = 500
"""Rows that are handed to the driver at once."""
NULL = "\\N"


def copy(cursor: Any, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Insert the rows. Raises Django's IntegrityError when a key is taken."""
    copy_text(cursor, table, columns, blocks(rows))


def copy_text(cursor: Any, table: str, columns: Sequence[str], texts: Iterable[str]) -> None:
    """Insert rows that are COPY's text already, whole rows a piece. Raises IntegrityError, too."""
    with cursor.db.wrap_database_errors, cursor.copy(f'COPY "{table}" ({_names(columns)}) FROM STDIN') as stream:
        for some in texts:
            stream.write(some)


def blocks(rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """Rows as COPY's text, many a piece."""
    lines: list[str] = []
    for row in rows:
        lines.append(line_of(row))
        if len(lines) >= A_BLOCK:
            yield "".join(lines)
            lines = []
    yield "".join(lines)


def line_of(row: Sequence[Any]) -> str:
    """A row as COPY's text. Raises KeyError for a value of a type that no column has."""
    line = "\t".join([value if type(value) is str else _TEXTS[type(value)](value) for value in row])
    if ("\\" in line and line.count("\\") > row.count(None)) or "\n" in line or "\r" in line or line.count("\t") >= len(row):
        line = "\t".join([escaped(value) if type(value) is str else _TEXTS[type(value)](value) for value in row])
    return f"{line}\n"


def escaped(text: str) -> str:
    """Text as COPY reads it back unchanged."""
    if text.isprintable() and "\\" not in text:
        return text
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")


_TEXTS: dict[type, Callable[[Any], str]] = {
    int: str,
    datetime: datetime.isoformat,
    date: lru_cache(date.isoformat),
    type(None): lambda _: NULL,
}


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

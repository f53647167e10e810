"""Bulk "insert or merge" with one rule a column, in SQL and in Python alike.

Events may come twice, late, or in the wrong order, and several recorders may write at once. So each row carries
`seen`, the place of its newest event, and the database itself decides, row by row, what a second row may change:

key     names the row
month   names it too where tables are partitioned by month; elsewhere it stays as it was first
newest  the value of the newer row, even when blank
fill    the newer row's value unless it is blank
least   the smaller value
most    the greater value

A row whose state is in `final` counts as the newer one, whatever comes after it, unless the column `reopened_by` has grown:
a node of a DAG run may be run again, as one more attempt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from django.db import connections, models

from backbeat.admin.copying import copy, staged

Row = dict[str, Any]
# 500 rows of a run's columns stay below SQLite's default limit of 32,766 parameters.
ROWS_A_STATEMENT = 500


@dataclass(frozen=True)
class Merge:
    """The rules of one table. Every column of the model must have one."""

    model: type[models.Model]
    rules: Mapping[str, str]
    final: frozenset[str] = frozenset()
    reopened_by: str = ""

    @property
    def keys(self) -> list[str]:
        """The columns that name a row."""
        return [column for column, rule in self.rules.items() if rule in ("key", "month")]

    def fold(self, rows: Iterable[Row]) -> list[Row]:
        """One row for each key, in the keys' order, so that two writers never wait for each other in a circle."""
        folded: dict[tuple[Any, ...], Row] = {}
        key_of = itemgetter(*self.keys)
        for row in rows:
            key = key_of(row)
            folded[key] = self.merged(folded[key], row) if key in folded else row
        return [folded[key] for key in sorted(folded)]

    def merged(self, old: Row, new: Row) -> Row:
        """What the SQL below makes of an old row and a new one."""
        newer = self._may_change(old, new) and new["seen"] >= old["seen"] if "seen" in old else True
        return {column: _RULES[rule](old[column], new[column], newer) for column, rule in self.rules.items()}

    def _may_change(self, old: Row, new: Row) -> bool:
        by = self.reopened_by
        return old.get("state") not in self.final or bool(by and new[by] > old[by])

    def write(self, rows: Sequence[Row], using: str = "default") -> None:
        """Insert or merge the rows. Call within a transaction when they belong together."""
        if not rows:
            return
        connection = connections[using]
        fit = self._fit(connection)
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                source = staged(cursor, self.table, list(self.rules), map(fit, rows))
                cursor.execute(self._sql(f'SELECT {self._columns} FROM "{source}"', self.keys))  # noqa: S608 - names of our own
                return
            for at in range(0, len(rows), ROWS_A_STATEMENT):
                some = rows[at : at + ROWS_A_STATEMENT]
                cursor.execute(self.sql_of_rows(len(some)), [value for row in some for value in fit(row)])

    def insert(self, rows: Sequence[Row], using: str = "default") -> None:
        """Insert rows that are new, on PostgreSQL alone; a third cheaper there. Raises IntegrityError when one is not."""
        connection = connections[using]
        if rows:
            with connection.cursor() as cursor:
                copy(cursor, self.table, list(self.rules), map(self._fit(connection), rows))

    def _fit(self, connection: Any) -> Callable[[Row], tuple[Any, ...]]:
        """What makes a row ready for the driver, as a tuple. JSON is text already, and psycopg takes moments as they are."""
        values = itemgetter(*self.rules)
        if connection.vendor == "postgresql":
            return values
        adapt = {
            models.DateTimeField: connection.ops.adapt_datetimefield_value,
            models.DateField: connection.ops.adapt_datefield_value,
        }
        fits = [adapt.get(type(self._field(column)), lambda value: value) for column in self.rules]
        return lambda row: tuple(fit(value) for fit, value in zip(fits, values(row), strict=True))

    def _field(self, column: str) -> Any:
        return next(field for field in self.model._meta.concrete_fields if field.column == column)  # noqa: SLF001 - public, only spelt privately

    def sql_of_rows(self, count: int) -> str:
        """The statement that takes a placeholder for each value of so many rows."""
        row = "(" + ", ".join(["%s"] * len(self.rules)) + ")"
        keys = [column for column, rule in self.rules.items() if rule == "key"]
        return self._sql(f"VALUES {', '.join([row] * count)}", keys)

    @property
    def _columns(self) -> str:
        return ", ".join(f'"{column}"' for column in self.rules)

    @property
    def table(self) -> str:
        """The table's name."""
        return self.model._meta.db_table  # noqa: SLF001 - public, only spelt privately

    def _sql(self, source: str, keys: Sequence[str]) -> str:
        named = ", ".join(f'"{column}"' for column in keys)
        rules = [(column, rule) for column, rule in self.rules.items() if rule not in ("key", "month")]
        sets = ", ".join(f'"{column}" = {self._set(column, rule)}' for column, rule in rules)
        return f'INSERT INTO "{self.table}" AS old ({self._columns}) {source} ON CONFLICT ({named}) DO UPDATE SET {sets}'

    def _set(self, column: str, rule: str) -> str:
        old, new = f'old."{column}"', f'excluded."{column}"'
        if rule in ("least", "most"):
            sign = "<" if rule == "least" else ">"
            return f"CASE WHEN {old} IS NULL OR {new} {sign} {old} THEN {new} ELSE {old} END"
        if rule == "newest":
            return f"CASE WHEN {self._newer()} THEN {new} ELSE {old} END"
        if isinstance(self._field(column), (models.CharField, models.TextField)):
            filled, kept = f"COALESCE(NULLIF({new}, ''), {old})", f"COALESCE(NULLIF({old}, ''), {new})"
        else:
            filled, kept = f"COALESCE({new}, {old})", f"COALESCE({old}, {new})"
        return f"CASE WHEN {self._newer()} THEN {filled} ELSE {kept} END"

    def _newer(self) -> str:
        if "seen" not in self.rules:
            return "1 = 1"
        newer = 'excluded."seen" >= old."seen"'
        if not self.final:
            return newer
        words = ", ".join(f"'{word}'" for word in sorted(self.final))
        reopened = f' OR excluded."{self.reopened_by}" > old."{self.reopened_by}"' if self.reopened_by else ""
        return f'(old."state" NOT IN ({words}){reopened}) AND {newer}'


def _least(old: Any, new: Any, _newer: object) -> Any:
    return min((value for value in (old, new) if value is not None), default=None)


def _most(old: Any, new: Any, _newer: object) -> Any:
    return max((value for value in (old, new) if value is not None), default=None)


def _fill(old: Any, new: Any, newer: object) -> Any:
    first, second = (new, old) if newer else (old, new)
    return second if first is None or first == "" else first


_RULES: dict[str, Any] = {
    "key": lambda old, _new, _newer: old,
    "month": lambda old, _new, _newer: old,
    "newest": lambda old, new, newer: new if newer else old,
    "fill": _fill,
    "least": _least,
    "most": _most,
}

"""COPY's text of rows: what PostgreSQL reads from it is what was written."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from django.db import connection

from backbeat.admin.copying import A_BLOCK, copy

MOMENT = datetime(2026, 11, 27, 3, 4, 5, 678_901, tzinfo=UTC)
pytestmark = pytest.mark.parametrize("each_database", ["postgresql"], indirect=True)
TEXTS = ["", "plain", "\\N", "\\", "a\tb", "a\nb", "a\r\nb", "\\.", "\\t", "q\"'", "…é😀", "\x01\x1f"]
ROWS = [(text, number, MOMENT, date(2026, 11, 1)) for number, text in enumerate(TEXTS)]


@pytest.fixture
def table(each_database: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE copied (said text, number bigint, at timestamptz, day date)")
    return "copied"


def read(table: str) -> list[tuple[object, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT said, number, at, day FROM {table} ORDER BY number")
        return cursor.fetchall()


@pytest.mark.parametrize("rows", [ROWS, [(None, 0, None, None)], [("\\", 0, None, None), (None, 1, MOMENT, None)], []])
def test_what_is_copied_is_read_back(table: str, rows: list[tuple[object, ...]]) -> None:
    with connection.cursor() as cursor:
        copy(cursor, table, ["said", "number", "at", "day"], rows)

    assert read(table) == rows


def test_more_rows_than_a_block_all_arrive(table: str) -> None:
    rows = [("x", number, None, None) for number in range(2 * A_BLOCK + 1)]
    with connection.cursor() as cursor:
        copy(cursor, table, ["said", "number", "at", "day"], rows)

    assert read(table) == rows

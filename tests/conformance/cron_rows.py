"""Rows of the reference vectors as questions to our own functions. A verdict is "" for right, else what we say instead."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from math import ceil, floor
from pathlib import Path
from typing import Any

from backbeat.core import jenkins
from backbeat.core.cron_fields import FIELDS, values
from backbeat.core.dialect import SECONDS_LAST, dialect_of
from backbeat.core.notes import spread
from backbeat.core.occurrence import check, last_before, next_after, upcoming
from backbeat.core.when import Cron, iso
from backbeat.errors import BadSchedule

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"

Row = dict[str, Any]
NEVER = "never comes"


def rows(name: str) -> list[Row]:
    """The rows of a data file, none when this checkout has no data beside it."""
    path = DATA / name
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def verdict(row: Row) -> str:
    """Ask our functions what the row asks of a cron library."""
    try:
        return _KINDS[row["kind"]](row)
    except BadSchedule as error:
        return str(error)


def cron_of(row: Row) -> Cron:
    """The row's expression as a schedule of ours; options of a library become our words for the same thing."""
    options = row.get("opts", {})
    expr, dialect = row["expr"], row["dialect"]
    if options.get("second_at_beginning") is True:
        second, *rest = expr.split()
        expr = " ".join([*rest[: len(SECONDS_LAST) - 1], second, *rest[len(SECONDS_LAST) - 1 :]])
    return Cron(
        expr,
        tz=row.get("tz") or "UTC",
        dialect="vixie" if options.get("implement_cron_bug") else dialect,
        days="both" if options.get("day_or") is False else "dialect",
        hash_key=str(options.get("hash_id") or options.get("hash_seed") or ""),
    )


def ms(text: str, rounded: Callable[[float], int] = floor) -> int:
    """A row's time; without an offset it is wall-clock time, which we ask in UTC."""
    moment = datetime.fromisoformat(text)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return rounded(moment.timestamp() * 1_000_000 // 1 / 1000)


def compared(ours: list[int], theirs: list[str]) -> str:
    """Empty when the times are the same."""
    return "" if ours == [ms(text) for text in theirs] else " ".join(map(iso, ours)) or "nothing"


def _next(row: Row) -> str:
    inclusive = row.get("opts", {}).get("inclusive", False)
    after = ms(row["after"]) - inclusive
    try:
        ours = upcoming(cron_of(row), after, len(row["next"]) + bool(row.get("exhausted")))
    except BadSchedule as error:
        return "" if row.get("exhausted") and not row["next"] and NEVER in str(error) else str(error)
    return compared(ours, row["next"])


def _prev(row: Row) -> str:
    inclusive = row.get("opts", {}).get("inclusive", False)
    before: int | None = ms(row["after"], ceil) + inclusive
    ours = []
    for _ in row["prev"]:
        before = last_before(cron_of(row), before) if before is not None else None
        ours += [] if before is None else [before]
    return compared(ours, row["prev"])


def _match(row: Row) -> str:
    cron, at = cron_of(row), ms(row["at"])
    seconds = row.get("opts", {}).get("precision_in_seconds", 60 if len(cron.expr.split()) == 5 else 1)
    try:
        found = next_after(cron, at - seconds * 1000)
    except BadSchedule as error:
        return "" if not row["match"] and NEVER in str(error) else str(error)
    return "" if (found is not None and found <= at) is row["match"] else f"next is {iso(found) if found else None}"


def _valid(row: Row) -> str:
    check(cron_of(row))
    return ""


def _invalid(row: Row) -> str:
    try:
        check(cron_of(row))
    except BadSchedule:
        return ""
    return "accepted"


def _field(row: Row) -> str:
    field = next(field for field in FIELDS.values() if field.low <= row["min"] and field.high >= row["max"])
    try:
        ours = sorted(values(field, row["expr"], dialect_of(row["dialect"]), ""))
    except BadSchedule as error:
        return "" if row.get("invalid") else str(error)
    return "" if ours == row.get("values") else f"{ours}"


def _expand(row: Row) -> str:
    pick = (lambda count: count - 1) if "largest" in row["opts"]["hash"] else (lambda count: 1)
    names = ("minute", "hour", "day", "month", "weekday")
    drawn = jenkins.without_hashes(dict(zip(names, row["expr"].lower().split(), strict=True)), pick)
    asked = {name.replace("day_of_month", "day"): wanted for name, wanted in row["values"].items()}
    ours = {name: [int(value) for value in drawn[name].split(",")] for name in asked}
    return "" if ours == asked else f"{ours}"


def _advice(row: Row) -> str:
    ours = spread(row["expr"]) or "none"
    return "" if ours == row["suggest"] else ours


_KINDS = {
    "next": _next,
    "prev": _prev,
    "match": _match,
    "valid": _valid,
    "invalid": _invalid,
    "field": _field,
    "expand": _expand,
    "advice": _advice,
}

"""Makes anything that a job may have produced fit for a database column.

One value that the database refuses would stop the whole batch, and with it all history; so NUL characters, lone
surrogates, NaN and out-of-range numbers are replaced here, and long text is cut with a mark.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

from backbeat.core.when import from_ms

MAX_INT = 2**31 - 1
DEEPEST = 50


def text(value: object, limit: int) -> str:
    """The value as storable text of at most `limit` characters; None becomes empty."""
    if value is None:
        return ""
    full = value if isinstance(value, str) else _dumped(value)
    if len(full) <= limit and full.isascii() and "\0" not in full:
        return full
    kept = full if len(full) <= limit else full[: max(limit - 1, 0)] + "…"
    return kept.replace("\0", "�").encode("utf-8", "replace").decode()


def _dumped(value: object) -> str:
    if isinstance(value, (dict, list, tuple)):
        return json.dumps(tree(value), ensure_ascii=False)
    return str(value)


def tree(value: object, depth: int = 0) -> Any:
    """A JSON value with storable text and numbers only; what JSON lacks becomes its text."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return text(value, len(value))
    if isinstance(value, int):
        return value if abs(value) < 2**63 else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if depth >= DEEPEST:
        return "…"
    if isinstance(value, Mapping):
        return {text(key, 1000): tree(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [tree(item, depth + 1) for item in value]
    return text(value, 10_000)


def parsed(value: object) -> Any:
    """A JSON column's value from a JSON text or a plain value."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return text(value, 65_536)
    return tree(value)


def stored(value: object) -> str | None:
    """A JSON column's value, as JSON text; None for none."""
    plain = parsed(value)
    return None if plain is None else json.dumps(plain)


def whole(value: object, most: int = MAX_INT) -> int | None:
    """A count from 0 to `most`, or None for what is not a number."""
    try:
        number: int = int(value)  # type: ignore[call-overload]  # whatever int() can't take is answered below
    except (TypeError, ValueError, OverflowError):
        return None
    return number if 0 <= number <= most else min(max(number, 0), most)


def moment(ms: object) -> datetime | None:
    """The UTC moment of epoch milliseconds, or None for what is none."""
    try:
        return None if ms is None or ms == "" else _moment(ms)
    except (TypeError, ValueError, OverflowError, OSError):
        return None


@lru_cache(maxsize=4096)
def _moment(ms: Any) -> datetime:
    """Kept, because the same moments stand in a run, in its attempt, and in runs that were due together."""
    return from_ms(int(ms))

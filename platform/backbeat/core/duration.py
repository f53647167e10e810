"""Durations as people write them: `"90s"`, `"20m"`, `"1h30m"`, `"2d"`."""

from __future__ import annotations

import re
from datetime import timedelta

from backbeat.errors import DefinitionError

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdw])")


def seconds(value: str | float | timedelta | None, field: str = "duration") -> float | None:
    """The length in seconds; a bare number is seconds, None stays None. Raises DefinitionError."""
    if value is None:
        return None
    if isinstance(value, timedelta):
        return _positive(value.total_seconds(), field, value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _positive(float(value), field, value)
    text = str(value).strip().replace(" ", "").lower()
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise DefinitionError(field, f"expected a duration such as '90s', '20m' or '1h30m'; got {value!r}.")
    return _positive(sum(float(number) * _UNITS[unit] for number, unit in parts), field, value)


def _positive(length: float, field: str, given: object) -> float:
    if not 0 <= length < 1e11:
        raise DefinitionError(field, f"expected a duration of zero or more; got {given!r}.")
    return length


def words(length: float) -> str:
    """The shortest text that `seconds` reads back as the same length, to the millisecond."""
    if length == 0:
        return "0s"
    left, out = round(length * 1000), []
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, left = divmod(left, size)
        if count:
            out.append(f"{count}{unit}")
    return "".join(out)

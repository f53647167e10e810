"""Sizes as people write them: `65536`, `"64KiB"`, `"512MiB"`, `"2GiB"`."""

from __future__ import annotations

import re

from backbeat.errors import DefinitionError

_UNITS = {"": 1, "b": 1, "k": 1024, "kib": 1024, "m": 1024**2, "mib": 1024**2, "g": 1024**3, "gib": 1024**3}
_SIZE = re.compile(r"(\d+)\s*([a-z]*)")


def size(text: str) -> int:
    """Bytes. Raises ValueError with a sentence."""
    found = _SIZE.fullmatch(text.strip().lower())
    if not found or found[2] not in _UNITS:
        raise ValueError(f"expected a size such as 65536, '64KiB' or '512MiB'; got {text!r}.")
    return int(found[1]) * _UNITS[found[2]]


def memory_of(value: object, field: str) -> int | None:
    """Bytes of memory; None stays None. Raises DefinitionError."""
    if value is None:
        return None
    try:
        found = value if isinstance(value, int) and not isinstance(value, bool) else size(str(value))
    except ValueError as error:
        raise DefinitionError(field, str(error)) from None
    if found < _UNITS["mib"]:
        raise DefinitionError(field, f"expected 1MiB or more, since a process of Python alone takes some 50MiB; got {value!r}.")
    return found


def size_words(length: int) -> str:
    """The shortest text that `size` reads back as the same number."""
    for unit in ("GiB", "MiB", "KiB"):
        if length and length % _UNITS[unit.lower()] == 0:
            return f"{length // _UNITS[unit.lower()]}{unit}"
    return str(length)

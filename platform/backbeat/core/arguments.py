"""How much may travel as the arguments of a run: they are kept in Redis, in each message and in history."""

from __future__ import annotations

import re

LARGEST = 1024 * 1024
"""Bytes of JSON."""
DEEPEST = 100
"""Lists and objects within each other. Redis' own JSON reader stops at 1000, and a person long before."""

_STRUCTURE = re.compile(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]')


def too_much(text: str) -> str | None:
    """Why this JSON text of arguments can't travel, or None when it can."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        return f"expected valid Unicode text; got a lone surrogate, {error.object[error.start]!r}."
    if size > LARGEST:
        return f"expected at most {LARGEST:,} bytes of JSON; got {size:,}. Store the data, and pass where it is."
    # Most arguments are flat, and then no more than this count is needed.
    if text.count("[") + text.count("{") > DEEPEST and _depth(text) > DEEPEST:
        return f"expected lists and objects at most {DEEPEST} deep; got {_depth(text)}."
    return None


def _depth(text: str) -> int:
    deepest = depth = 0
    for mark in _STRUCTURE.finditer(text):
        if mark[0] in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif mark[0] in "]}":
            depth -= 1
    return deepest

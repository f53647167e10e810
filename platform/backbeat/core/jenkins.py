"""Jenkins's `H`: the same minute for the same job name as Jenkins itself would choose, so that a move changes no time."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from hashlib import md5

from backbeat.core.cron_fields import FIELDS
from backbeat.errors import BadSchedule

Pick = Callable[[int], int]
"""Gives a number from 0 up to, not including, its argument; each call draws the next one."""

_H = re.compile(r"h(?:\(([0-9]+)-([0-9]+)\))?(?:/([0-9]+))?")
_LAST = {"day": 28}


def without_hashes(texts: Mapping[str, str], pick: Pick) -> dict[str, str]:
    """The fields, in cron's order, with every H replaced by the numbers that are drawn for it. Raises BadSchedule."""
    return {name: ",".join(_drawn(name, item, pick) for item in text.split(",")) for name, text in texts.items()}


def _drawn(name: str, item: str, pick: Pick) -> str:
    parts = _H.fullmatch(item)
    if not parts:
        return item
    field = FIELDS[name]
    low, high = int(parts[1] or field.low), int(parts[2] or _LAST.get(name, field.high))
    if not field.low <= low <= high <= field.high:
        raise BadSchedule("schedule", f"expected H within {field.low}-{field.high} in the {name} field; got {item!r}.")
    if parts[3] is None or int(parts[3]) == 1:
        return str(low + pick(high + 1 - low))
    step = int(parts[3])
    if not 1 <= step <= high - low + 1:
        raise BadSchedule("schedule", f"expected a step from 1 to {high - low + 1} in the {name} field; got {item!r}.")
    return ",".join(map(str, range(low + pick(step), high + 1, step)))


def picker(key: str) -> Pick:
    """The generator that Jenkins seeds with a job's full name: MD5 folded to 64 bits into java.util.Random."""
    digest = md5(key.encode(), usedforsecurity=False).digest()
    state = (int.from_bytes(bytes(a ^ b for a, b in zip(digest[:8], digest[8:], strict=True))) ^ 0x5DEECE66D) & (1 << 48) - 1

    def bits() -> int:
        nonlocal state
        state = (state * 0x5DEECE66D + 0xB) & (1 << 48) - 1
        return state >> 17

    def pick(count: int) -> int:
        if count & -count == count:
            return count * bits() >> 31
        while (drawn := bits()) - drawn % count + count - 1 >= 1 << 31:
            pass
        return drawn % count

    return pick

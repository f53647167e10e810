"""One field of a cron expression as the set of its values.

croniter reads the field; before it does, `_repaired` rewrites the items that croniter 7 is known to misread.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

from croniter import CroniterError, croniter

from backbeat.core.dialect import Dialect
from backbeat.errors import BadSchedule, nearest

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")

_ITEM = re.compile(r"(?P<low>\*|[0-9]+|[a-z]+|(?=/))(?:-(?P<high>[0-9]+|[a-z]+))?(?:/(?P<step>[0-9]+))?")
_RANDOM = re.compile(r"r(?![a-z])")
_HASHED = re.compile(r"(?:h|(?P<low>[0-9]*)~(?P<high>[0-9]*))(?:\((?P<from>[0-9]+)-(?P<to>[0-9]+)\))?(?:/(?P<step>[0-9]+))?")


@dataclass(frozen=True, slots=True)
class Field:
    """A field's place in croniter's order, its bounds and its words."""

    name: str
    column: int
    low: int
    high: int
    words: tuple[str, ...] = ()

    @property
    def everything(self) -> range:
        """All that the field may hold."""
        return range(self.low, self.high + 1)


FIELDS = {
    field.name: field
    for field in (
        Field("minute", 0, 0, 59),
        Field("hour", 1, 0, 23),
        Field("day", 2, 1, 31),
        Field("month", 3, 1, 12, MONTHS),
        Field("weekday", 4, 0, 6, WEEKDAYS),
        Field("second", 5, 0, 59),
        Field("year", 6, 1970, 2099),
    )
}


def values(field: Field, text: str, dialect: Dialect, key: str) -> frozenset[int]:
    """The values that a lower-case field text without L, W and # stands for. Raises BadSchedule, which names the field."""
    if _RANDOM.match(text):
        raise bad(field, text, dialect, " R is another moment at every reading; H is the same for ever.")
    items = [text] if dialect.faithful else [_repaired(field, item, dialect) for item in text.split(",")]
    # croniter itself wants a key for H; elsewhere schedules without one share their moment, and a note says so.
    hash_key = None if dialect.faithful and not key else key
    try:
        return frozenset(chain.from_iterable(_expanded(field, item, hash_key if "h" in item else None) for item in items))
    except (CroniterError, ValueError, KeyError, TypeError):
        raise bad(field, text, dialect) from None


@lru_cache(maxsize=4096)
def _expanded(field: Field, text: str, key: str | None) -> frozenset[int]:
    columns = ["*"] * max(5, field.column + 1)
    columns[field.column] = text
    found = croniter.expand(" ".join(columns), hash_id=None if key is None else key.encode())[0][field.column]
    return frozenset(field.everything) if "*" in found else frozenset(int(value) for value in found)


def _repaired(field: Field, item: str, dialect: Dialect) -> str:
    """An item in words that croniter reads as the dialect means them."""
    if item == "?" and "?" in dialect.special and field.name in ("day", "weekday"):
        return "*"
    if hashed := _HASHED.fullmatch(item):
        return _hashed(field, item, hashed, dialect)
    parts = _ITEM.fullmatch(item)
    if not parts or (parts["low"] == "*" and parts["high"]) or (parts["low"] == "" and not dialect.step_limit):
        raise bad(field, item, dialect)
    step = _step(field, item, dialect, parts["step"])
    if parts["low"] in ("*", ""):
        return f"*/{step}" if parts["step"] else "*"
    return ",".join(map(str, _range(field, item, dialect, parts)[::step]))


def _range(field: Field, item: str, dialect: Dialect, parts: re.Match[str]) -> list[int]:
    """A range value by value: croniter takes 5-5 for every value, 6/1 for Saturday alone, and miscounts over the end."""
    first = number(field, parts["low"], dialect)
    eighth_day = field.name == "weekday" and dialect.seven and not dialect.sunday
    if parts["high"] is None and parts["step"] is None:
        return [first]
    if parts["high"] is None:
        if not dialect.open_steps:
            raise bad(field, item, dialect, f" Give the step a range, for example {parts['low']}-{field.high}/{parts['step']}.")
        last = field.high + eighth_day
    elif parts["high"] == "l" and field.name == "day" and "L" in dialect.special:
        last = field.high
    else:
        last = 7 if eighth_day and parts["high"] == "7" != parts["low"] else number(field, parts["high"], dialect)
    if first <= last:
        return [field.low if value > field.high else value for value in range(first, last + 1)]
    if not dialect.wraps:
        raise bad(field, item, dialect, " The range ends before it begins.")
    return [*range(first, field.high + 1), *range(field.low, last + 1)]


def number(field: Field, word: str, dialect: Dialect) -> int:
    """A number or a name as the field's value; Sunday is 0. Raises BadSchedule."""
    weekday = field.name == "weekday"
    if not word.isdecimal():
        name = word[:3] if dialect.whole_names else word
        if not dialect.names or name not in field.words:
            raise bad(field, word, dialect)
        return field.words.index(name) + field.low
    value = int(word) - (dialect.sunday if weekday else 0)
    if weekday and value == 7 and dialect.seven:
        return 0
    if value not in field.everything:
        raise bad(field, word, dialect)
    return value


def _step(field: Field, item: str, dialect: Dialect, text: str | None) -> int:
    longest = 7 if field.name == "weekday" else field.high
    step = int(text or 1)
    if step < 1 or (dialect.step_limit and step > longest):
        raise bad(field, item, dialect, f" A step in this field lies between 1 and {longest}.")
    return step


def _hashed(field: Field, item: str, parts: re.Match[str], dialect: Dialect) -> str:
    """H and cronie's `~` (a random value there, a hashed one here) as croniter's H; days stop at 28, as in Jenkins."""
    if ("~" if "~" in item else "H") not in dialect.special:
        raise bad(field, item, dialect)
    low = int(parts["from"] or parts["low"] or field.low)
    high = int(parts["to"] or parts["high"] or (28 if field.name == "day" else field.high))
    if low == high:
        return str(low)
    return f"h({low}-{high})" + (f"/{parts['step']}" if parts["step"] else "")


def bad(field: Field, got: str, dialect: Dialect, more: str = "") -> BadSchedule:
    """The error for a field: what may stand there, what came, and the nearest name."""
    low, high = field.low, field.high
    if field.name == "weekday":
        low, high = low + dialect.sunday, high + max(dialect.sunday, int(dialect.seven))
    names = f" or {field.words[0].upper()}-{field.words[-1].upper()}" if field.words and dialect.names else ""
    hint = more or _hint(field, got, dialect)
    return BadSchedule("schedule", f"expected {low}-{high}{names} in the {field.name} field; got {got!r}.{hint}")


def _hint(field: Field, got: str, dialect: Dialect) -> str:
    if dialect.names and got.isalpha() and (close := nearest(got, field.words)):
        return close
    if got.endswith("/"):
        return " A step needs a number after the /."
    if got in ("l", "w", "lw", "?"):
        return f" {got.upper()} belongs in the day and weekday fields, where the dialect knows it, and stands alone there."
    return ""

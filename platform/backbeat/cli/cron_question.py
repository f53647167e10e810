"""A question about an expression, as a JSON object asks it, and its answer."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from backbeat.core.cron import parse
from backbeat.core.occurrence import describe, notes, upcoming
from backbeat.core.when import Cron, from_ms, iso
from backbeat.core.zone import load
from backbeat.errors import BadSchedule, nearest

MOST = 10_000
FIRST_YEAR, LAST_YEAR = 10, 9950
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
POLICIES = ("gap", "fold", "days")


@dataclass(frozen=True, slots=True)
class Question:
    """An expression, and how many of its times after a moment (epoch ms) are asked for."""

    cron: Cron
    after: int
    n: int

    def times(self) -> list[str]:
        """The times, in the zone, with its offset. Raises BadSchedule."""
        zone = load(zone_of(self.cron))
        return [from_ms(moment).astimezone(zone).isoformat() for moment in upcoming(self.cron, self.after, self.n)]

    def answer(self) -> dict[str, Any]:
        """When the expression is due. Raises BadSchedule."""
        cron = self.cron
        return {"expr": cron.expr, "dialect": cron.dialect, "tz": zone_of(cron), "after": iso(self.after), "next": self.times()}

    def explanation(self) -> dict[str, Any]:
        """What the expression means, and what to mind. Raises BadSchedule."""
        policies = {name: getattr(self.cron, name) for name in POLICIES}
        return {"meaning": describe(self.cron), "policies": policies, "notes": notes(self.cron, self.after)}


def answered(line: bytes) -> dict[str, Any]:
    """The answer to one line of JSON in UTF-8, or an object with `error`; the question's `id` comes back."""
    asked: Any = None
    try:
        asked = _read(line)
        found = question(asked).answer()
    except (BadSchedule, ValueError, OverflowError, RecursionError) as error:
        found = {"expr": asked.get("expr") if isinstance(asked, Mapping) else None, "error": _short(str(error), 1000)}
    return ({"id": asked["id"]} if isinstance(asked, Mapping) and "id" in asked else {}) | found


def _read(line: bytes) -> Any:
    try:
        return json.loads(line.decode("utf-8-sig"), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:  # ValueError: neither JSON nor UTF-8, or a number of 5,000 digits
        got = _short(line.decode(errors="replace").strip())
        raise BadSchedule("line", f"expected one JSON object in UTF-8; got {got!r} ({error}).") from None


def _no_number(text: str) -> None:
    raise ValueError(f"JSON has no {text}")


def question(asked: Any) -> Question:
    """Read a question; what it leaves out or sets to null is as usual. Raises BadSchedule."""
    given = _object(asked, "question").get("policies")
    policies = {} if given is None else _object(given, "policies")
    for name in policies:
        if name not in POLICIES:
            raise BadSchedule("policies", f"expected {', '.join(POLICIES)}; got {name!r}.{nearest(name, POLICIES)}")
    cron = Cron(
        _text(asked, "expr", None),
        tz=_text(asked, "tz", "UTC"),
        dialect=_text(asked, "dialect", "vixie"),
        gap=_text(policies, "gap", ""),
        fold=_text(policies, "fold", ""),
        days=_text(policies, "days", "dialect"),
        hash_key=_text(asked, "hash_key", ""),
    )
    return Question(cron, _moment(_text(asked, "after", ""), cron), _count(asked.get("n")))


def zone_of(cron: Cron) -> str:
    """The zone that holds: the expression's own, when its dialect lets it name one. Raises BadSchedule."""
    return parse(cron)[1]


def _object(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise BadSchedule(name, f"expected an object; got {value!r}.")
    return value


def _text(asked: Mapping[str, Any], name: str, default: str | None) -> str:
    value = default if asked.get(name) is None else asked[name]
    if not isinstance(value, str):
        raise BadSchedule(name, f"expected text; got {value!r}.")
    return value


def _count(value: Any) -> int:
    if value is None:
        return 5
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MOST:
        raise BadSchedule("n", f"expected a whole number from 1 to {MOST}; got {value!r}.")
    return value


def _moment(text: str, cron: Cron) -> int:
    if not text:
        return round(time.time() * 1000)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadSchedule("after", f"expected a moment such as 2027-03-28T00:00:00+01:00; got {text!r}.") from None
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise BadSchedule("after", f"expected a year from {FIRST_YEAR} to {LAST_YEAR}; got {text!r}.")
    there = moment if moment.tzinfo else moment.replace(tzinfo=load(zone_of(cron)))
    # Rounded up, a microsecond before a due time would be that time, and the answer would leave it out.
    return (there - EPOCH) // timedelta(milliseconds=1)


def _short(text: str, longest: int = 200) -> str:
    """A line of a megabyte is not handed back whole."""
    return text if len(text) <= longest else f"{text[:longest]}…"

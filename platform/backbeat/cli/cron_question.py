"""A question about an expression, as a JSON object asks it, and its answer."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from backbeat.core.cron import parse
from backbeat.core.occurrence import describe, notes, upcoming
from backbeat.core.when import Cron, from_ms, iso, to_ms
from backbeat.core.zone import load
from backbeat.errors import BadSchedule, nearest

MOST = 10_000
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


def answered(line: str) -> dict[str, Any]:
    """The answer to one line of JSON, or an object with `error`; the question's `id` comes back."""
    asked: Any = None
    try:
        asked = json.loads(line)
        found = question(asked).answer()
    except json.JSONDecodeError as error:
        found = {"expr": None, "error": f"expected a line with one JSON object; got {line.strip()!r} ({error})."}
    except (BadSchedule, ValueError, OverflowError) as error:
        found = {"expr": asked.get("expr") if isinstance(asked, Mapping) else None, "error": str(error)}
    return ({"id": asked["id"]} if isinstance(asked, Mapping) and "id" in asked else {}) | found


def question(asked: Any) -> Question:
    """Read a question; what it leaves out or sets to null is as usual. Raises BadSchedule."""
    policies = _object(_object(asked, "question").get("policies") or {}, "policies")
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
    return to_ms(moment if moment.tzinfo else moment.replace(tzinfo=load(zone_of(cron))))

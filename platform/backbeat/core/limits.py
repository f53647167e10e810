"""How many runs of a job may work at once, and how many may start in a time: in all, or for each key (a tenant, an account).

A key is written as a template over the job's arguments: "{tenant}", "{region}-{order.customer}", or plainly "tenant".
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha1
from math import ceil
from typing import Any

from backbeat.core.duration import seconds
from backbeat.core.message import dumps
from backbeat.errors import DefinitionError

FASTEST = 100_000.0
"""Starts in a second; whoever needs more needs no limit."""
LONGEST_KEY = 100
"""Characters of a key's value as it stands in a Redis key; longer ones are cut and told apart by a hash."""
_RATE = re.compile(r"^\s*(\d{1,9})\s*/\s*(\d+(?:\.\d+)?)?\s*(ms|[smhd])\s*$")
_NAME = r"[A-Za-z_]\w*(?:\.\w+)*"
_PLAIN = re.compile(rf"^{_NAME}$")
_HOLE = re.compile(rf"\{{({_NAME})\}}")


@dataclass(frozen=True, slots=True)
class Rate:
    """So many starts in so many seconds."""

    count: int
    per: float

    @property
    def every_ms(self) -> float:
        """Milliseconds that one start is worth."""
        return self.per * 1000 / self.count

    @property
    def burst(self) -> int:
        """Starts that may come at once: what a second brings, and at least one."""
        return max(1, ceil(self.count / self.per))


def rate_of(value: object, field: str = "rate") -> str:
    """A rate as text, `"100/m"`; a number is starts in a second, nothing means no limit. Raises DefinitionError."""
    if value is None or value == "":
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        value = f"{value}/s"
    found = _RATE.match(value) if isinstance(value, str) else None
    if found is None:
        raise DefinitionError(field, f"expected starts in a time, such as '10/s', '100/m' or '5/10s'; got {value!r}.")
    count, length = int(found[1]), seconds(f"{found[2] or 1}{found[3]}", field)
    if not count or not length or count / length > FASTEST:
        raise DefinitionError(field, f"expected at least one start, and at most {FASTEST:g} in a second; got {value!r}.")
    return f"{count}/{found[2] or ''}{found[3]}"


def rate_in(text: str) -> Rate:
    """The rate that `rate_of` wrote."""
    count, _, length = text.partition("/")
    return Rate(int(count), float(seconds(length if length[0].isdigit() else f"1{length}") or 1))


def key_of(value: object, field: str) -> str:
    """A key's template, `"{tenant}"`; a bare name stands for itself in braces. Raises DefinitionError."""
    if value is None or value == "":
        return ""
    text = f"{{{value}}}" if isinstance(value, str) and _PLAIN.match(value) else value
    if not isinstance(text, str) or not _HOLE.search(text) or set("{}") & set(_HOLE.sub("", text)) or len(text) > 200:
        raise DefinitionError(
            field, f"expected the name of an argument, or a text with such names in braces: '{{tenant}}'; got {value!r}."
        )
    return text


def names_in(template: str) -> set[str]:
    """The arguments that a template names."""
    return {name.partition(".")[0] for name in _HOLE.findall(template)}


def filled(template: str, arguments: Mapping[str, Any]) -> str:
    """The key of a run with these arguments. An argument that is not there counts as empty."""
    text = _HOLE.sub(lambda hole: _text(_found(arguments, hole[1])), template)
    if len(text) <= LONGEST_KEY:
        return text
    # It tells keys apart; it protects nothing.
    return f"{text[: LONGEST_KEY - 20]}~{sha1(text.encode(), usedforsecurity=False).hexdigest()[:16]}"


def _found(arguments: Mapping[str, Any], path: str) -> Any:
    value: Any = arguments
    for step in path.split("."):
        value = value.get(step) if isinstance(value, Mapping) else None
    return value


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, default=str, sort_keys=True, separators=(",", ":"))


def limits_text(most: int | None, concurrency_key: str, rate: str, rate_key: str, burst: int | None) -> str:
    """The limits of a job as scripts read them (lua/gate.lua); empty when it has none."""
    limits: dict[str, Any] = {}
    if most is not None:
        limits |= {"n": most} | ({"ck": concurrency_key} if concurrency_key else {})
    if rate:
        found = rate_in(rate)
        limits |= {"every": found.every_ms, "burst": burst or found.burst, "rate": rate} | ({"rk": rate_key} if rate_key else {})
    return dumps(limits) if limits else ""

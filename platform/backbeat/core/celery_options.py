"""The options of a Celery schedule entry (those of `apply_async`), sorted into what they mean here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from backbeat.core.redbeat import moment_of
from backbeat.core.when import to_ms
from backbeat.errors import DefinitionError

_PLAIN = ("queue", "exchange", "routing_key", "priority", "expires", "headers", "time_limit", "soft_time_limit", "ignore_result")
# How a message is published is the scheduler's own affair, and an occurrence's id is its identity.
_NEEDLESS = frozenset(
    {
        "retry", "retry_policy", "serializer", "compression", "delivery_mode", "mandatory", "immediate", "timeout",
        "confirm_timeout", "task_id", "producer", "connection", "publisher", "reply_to", "shadow", "origin", "argsrepr",
        "kwargsrepr", "add_to_parent", "exchange_type",
    }
)  # fmt: skip
_REFUSED = {
    "countdown": "move the schedule instead",
    "eta": "a schedule says when",
    "link": "start the next task from the first, or make a DAG of both",
    "link_error": "give the job an alert, or handle the error in the task",
    "chain": "make a DAG of the tasks",
    "chord": "make a DAG of the tasks",
    "group_id": "a fire belongs to no group",
    "root_id": "a fire has no parent",
    "parent_id": "a fire has no parent",
}


@dataclass(frozen=True, slots=True)
class Options:
    """What an entry's options say. Lengths are seconds, `end` is epoch ms."""

    queue: str | None = None
    exchange: str | None = None
    routing_key: str | None = None
    priority: int | None = None
    headers: Mapping[str, Any] = field(default_factory=dict)
    expires: float | None = None
    """How long after its time a run may still start."""
    end: int | None = None
    """The moment after which none may start."""
    timeout: float | None = None
    soft_timeout: float | None = None
    ignore_result: bool = False

    @property
    def routed(self) -> bool:
        """Whether they say where messages go."""
        return bool(self.queue or self.exchange is not None or self.routing_key)


def options_of(given: Mapping[str, Any] | None) -> Options:
    """Read them. Raises DefinitionError for one that can't be kept, or that nobody knows."""
    options = {name: value for name, value in (given or {}).items() if value is not None and name not in _NEEDLESS}
    for name, cure in _REFUSED.items():
        if options.get(name):
            raise DefinitionError("options", f"{name!r} can't be kept: {cure}.")
    unknown = sorted(set(options) - set(_PLAIN) - set(_REFUSED))
    if unknown:
        raise DefinitionError("options", f"expected options of apply_async; got {', '.join(map(repr, unknown))}.")
    expires, end = _expiry(options.get("expires"))
    return Options(
        queue=_text(options, "queue"),
        exchange=_text(options, "exchange"),
        routing_key=_text(options, "routing_key"),
        priority=_priority(options.get("priority")),
        headers=_headers(options.get("headers")),
        expires=expires,
        end=end,
        timeout=_seconds(options, "time_limit"),
        soft_timeout=_seconds(options, "soft_time_limit"),
        ignore_result=bool(options.get("ignore_result")),
    )


def _expiry(value: Any) -> tuple[float | None, int | None]:
    if value is None:
        return None, None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if value <= 0:
            raise DefinitionError("options", f"expected expires to leave time for a run; got {value!r}.")
        return float(value), None
    try:
        moment = moment_of(value)
    except (ValueError, TypeError) as error:
        raise DefinitionError("options", f"expected expires to be seconds or a date; got {value!r} ({error}).") from error
    return None, None if moment is None else to_ms(moment)


def _text(options: Mapping[str, Any], name: str) -> str | None:
    value = options.get(name)
    if value is not None and not isinstance(value, str):
        raise DefinitionError("options", f"expected {name} to be a name; got {value!r}.")
    # An empty exchange is the broker's own; of the others nothing is left.
    return value if value or name == "exchange" else None


def _priority(value: Any) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 255):
        return value
    raise DefinitionError("options", f"expected priority to be a whole number from 0 to 255; got {value!r}.")


def _headers(value: Any) -> Mapping[str, Any]:
    if value is None or isinstance(value, dict):
        return value or {}
    raise DefinitionError("options", f"expected headers to be an object; got {value!r}.")


def _seconds(options: Mapping[str, Any], name: str) -> float | None:
    value = options.get(name)
    if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0):
        return None if value is None else float(value)
    raise DefinitionError("options", f"expected {name} to be seconds; got {value!r}.")

"""Runs of which history hears for the first time at their end, as COPY's text.

Under load nearly all runs are such. What many of them share becomes text once, by the functions that make every other row
(`snapshot`); only what is a run's own is put in here. See docs/decisions/041-plain-runs-are-text.md.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from backbeat.admin import snapshot
from backbeat.admin.clean import moment, text
from backbeat.admin.copying import NULL, escaped, line_of
from backbeat.admin.models.fields import NAME, RUN_ID, SCHEDULE_ID
from backbeat.core.keys import moment_of
from backbeat.core.state import TERMINAL
from backbeat.core.when import from_ms

if TYPE_CHECKING:
    from datetime import date

    from backbeat.runtime.ports import Event

log = logging.getLogger(__name__)

_SHARED = ("state", "attempts", "task", "pool", "queue", "priority", "worker")
_NOTHING = ("reason", "error_type", "error_message", "dag_run", "node")
_SHARED_OF_ATTEMPT = ("number", "state", "worker", "error_type", "error_message", "traceback")
_OWN = ("job", "schedule", "nominal", "effective", "args", "kwargs", "queued_at", "started_at", "finished_at", "result")
RUN_COLUMNS = ("run_id", *_OWN, "month", "seen", *_SHARED, *_NOTHING)
ATTEMPT_COLUMNS = ("run_id", "started_at", "finished_at", "log", "month", "seen", *_SHARED_OF_ATTEMPT)
_ENDS_ALIKE = ("state", "task", "pool", "queue", "priority", "worker")
_KNOWN = frozenset((*_ENDS_ALIKE, *_OWN, "attempt", "arguments", "log")) - {"args", "kwargs"}
"""What a plain event may tell. An error, a reason or a graph is more than that."""
_FINAL = frozenset(state.value for state in TERMINAL)
_LATEST = 253_402_300_799_999
_FIRST_END = "000103"
"""How `seen` goes on after the milliseconds for the end of a first attempt; see snapshot.py."""


class Ready(NamedTuple):
    """Events, and COPY's text of the plain ones among them."""

    events: Sequence[Event]
    others: Sequence[Event] = ()
    """Those that are not in the text."""
    runs: str = ""
    attempts: str = ""


def ready(events: Sequence[Event]) -> Ready:
    """The text of every plain event that is the only one of its run."""
    plain, others = _parted(events)
    # So that two writers never wait for each other in a circle.
    plain.sort(key=attrgetter("run_id"))
    ends: dict[Any, tuple[str, str]] = {}
    try:
        lines = [_lines(event, ends) for event in plain]
    except (TypeError, ValueError, ArithmeticError) as error:
        log.warning("a batch is recorded in the ordinary way: %s", error)
        return Ready(events, events)
    return Ready(events, others, "".join([run for run, _ in lines]), "".join([attempt for _, attempt in lines]))


def _parted(events: Sequence[Event]) -> tuple[list[Event], list[Event]]:
    plain: list[Event] = []
    others: list[Event] = []
    for event in events:
        (plain if _is_plain(event) else others).append(event)
    ids = {event.run_id for event in plain}
    if len(ids) < len(plain) or not ids.isdisjoint(event.run_id for event in others):
        return [], list(events)
    return plain, others


def _is_plain(event: Event) -> bool:
    data, run_id = event.data, event.run_id
    return bool(
        event.first
        and event.kind == "finished"
        and data.keys() <= _KNOWN
        and data.get("attempt") == "1"
        and str(data.get("state")) in _FINAL
        and data.get("job")
        and 0 < event.at <= _LATEST
        and 0 < len(run_id) <= RUN_ID
        and run_id.isprintable()
        and "\\" not in run_id
    )


def _lines(event: Event, ends: dict[Any, tuple[str, str]]) -> tuple[str, str]:
    get, run_id, at = event.data.get, event.run_id, event.at
    alike = tuple(map(get, _ENDS_ALIKE))
    of_run, of_attempt = ends.get(alike) or ends.setdefault(alike, _ends(event))
    times = f"{_stamp(get('started_at'))}\t{_stamp(get('finished_at'), at)}"
    result, log = escaped(text(get("result"), snapshot.RESULT)), escaped(text(get("log"), snapshot.LOG))
    place = f"{_day(snapshot.month_of(event))}\t{at}{_FIRST_END}"
    due = _due(run_id, get("schedule"), get("nominal"), get("effective"))
    made = f"{_arguments(get('arguments'))}\t{_stamp(get('queued_at'), at)}"
    return (
        f"{run_id}\t{_job(get('job'))}\t{due}\t{made}\t{times}\t{result}\t{place}\t{of_run}",
        f"{run_id}\t{times}\t{log}\t{place}\t{of_attempt}",
    )


def _ends(event: Event) -> tuple[str, str]:
    """How the lines of all runs end that share these facts."""
    run = snapshot.run(event)
    attempt = snapshot.attempt(event, run) or {}
    of_run, of_attempt = (*_SHARED, *_NOTHING), _SHARED_OF_ATTEMPT
    return line_of([run[column] for column in of_run]), line_of([attempt[column] for column in of_attempt])


def _due(run_id: str, schedule: Any, nominal: Any, effective: Any) -> str:
    """Schedule, nominal and effective time. Only the run that carries the occurrence's own id may claim its schedule."""
    when = _stamp(nominal)
    both = f"{when}\t{when if effective == nominal else _stamp(effective)}"
    if when == NULL or not schedule:
        return f"\t{both}"
    named = text(schedule, SCHEDULE_ID)
    return f"{escaped(named)}\t{both}" if f"{named}@{moment_of(int(nominal))}" == run_id else f"\t{both}"


def _stamp(ms: Any, otherwise: int | None = None) -> str:
    """The moment of epoch milliseconds; of `otherwise` when they name none, and NULL when neither does."""
    if type(ms) is str and len(ms) == 13 and ms.isascii() and ms.isdigit():
        return f"{_second(ms[:10])}.{ms[10:]}+00"
    when = moment(ms) or moment(otherwise)
    return NULL if when is None else when.isoformat()


@lru_cache(maxsize=4096)
def _second(text: str) -> str:
    return from_ms(int(text) * 1000).replace(tzinfo=None).isoformat()


@lru_cache(maxsize=4096)
def _job(name: Any) -> str:
    return escaped(text(name, NAME))


@lru_cache
def _day(first: date) -> str:
    return first.isoformat()


def _arguments(told: Any) -> str:
    return _kept_arguments(told) if told is None or len(told) <= snapshot.SHORT else _written(told)


def _written(told: Any) -> str:
    args, kwargs = snapshot.arguments({"arguments": told})
    return f"{NULL if args is None else escaped(args)}\t{NULL if kwargs is None else escaped(kwargs)}"


_kept_arguments = lru_cache(maxsize=1024)(_written)

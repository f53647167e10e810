"""What one event tells about a run, an attempt, an omission or a DAG run, as a row. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from backbeat.admin.clean import moment, parsed, stored, text, whole
from backbeat.admin.models.fields import NAME, RUN_ID, SCHEDULE_ID
from backbeat.admin.upsert import Row
from backbeat.core.keys import month_in, occurrence_id, owner_of
from backbeat.core.secrets import masked
from backbeat.core.state import Reason, RunState

if TYPE_CHECKING:
    from backbeat.runtime.ports import Event

RUN_KINDS = {"queued": 0, "started": 1, "lost": 2, "finished": 3, "quarantined": 4, "retrying": 5, "released": 5}
DAG_KINDS = {"dag_started": 1, "dag_finished": 3}
MESSAGE, TRACEBACK, LOG, RESULT = 16_384, 131_072, 1_048_576, 262_144
SHORT = 1_000
"""Arguments (characters) that are worth remembering."""
_NO_ERROR = {"error_type": "", "error_message": ""}
_BY_NAME = {state.value: state for state in RunState}

_STATES = {
    "queued": RunState.QUEUED,
    "started": RunState.RUNNING,
    "lost": RunState.LOST,
    "quarantined": RunState.QUARANTINED,
    "retrying": RunState.RETRYING,
    "released": RunState.QUEUED,
}


class Unreadable(ValueError):
    """An event that lacks what names its row."""


def run(event: Event) -> Row:
    """The run as this event shows it. What the event leaves out is blank."""
    data, get, at = event.data, event.data.get, _at(event)
    schedule, nominal = _occurrence(event)
    args, kwargs = arguments(data)
    return {
        **_same_for_many(get("job") or owner_of(event.run_id), *map(get, _SAME)),
        "run_id": _identity(event),
        "schedule": schedule,
        "nominal": nominal,
        "effective": moment(get("effective")),
        "state": _state(event).value,
        "attempts": whole(get("attempt")) or 0,
        "args": args,
        "kwargs": kwargs,
        "queued_at": moment(get("queued_at")) or at,
        "started_at": moment(get("started_at")),
        "finished_at": (moment(get("finished_at")) or at) if event.kind == "finished" else None,
        "reason": text(get("reason"), MESSAGE),
        **_error(data),
        "result": text(get("result"), RESULT),
        "month": month_of(event),
        "seen": _seen(event),
    }


_SAME = ("task", "pool", "queue", "priority", "worker", "dag_run", "node")


def _same_for_many(job: str, *facts: Any) -> Row:
    """What runs of one job, and nodes of one DAG run, have in common."""
    try:
        return _kept_same(job, *facts)
    except TypeError:  # what nobody of ours writes: a fact that is a list
        return _kept_same.__wrapped__(job, *facts)


@lru_cache(maxsize=4096)
def _kept_same(job: str, task: Any, pool: Any, queue: Any, priority: Any, worker: Any, dag_run: Any, node: Any) -> Row:
    return {
        "job": text(job, NAME),
        "task": text(task, 255),
        "pool": text(pool, 50),
        "queue": text(queue, 60),
        "priority": whole(priority, 9),
        "worker": text(worker, 255),
        "dag_run": text(dag_run, RUN_ID),
        "node": text(node, NAME + 20),
    }


def attempt(event: Event, run: Row) -> Row | None:
    """The attempt that this event is about, or None when it is about none. `run` is what the event says of the run."""
    state = _attempt_state(event)
    if not run["attempts"] or state is None:
        return None
    data = event.data
    same = {name: run[name] for name in ("run_id", "worker", "started_at", "error_type", "error_message", "month", "seen")}
    return {
        **same,
        "number": run["attempts"],
        "state": state.value,
        "finished_at": None if state is RunState.RUNNING else moment(data.get("finished_at")) or _at(event),
        "traceback": text(_mapping(data["error"]).get("traceback"), TRACEBACK) if data.get("error") else "",
        "log": text(data.get("log"), LOG),
    }


def _attempt_state(event: Event) -> RunState | None:
    if event.kind == "started":
        return RunState.RUNNING
    if event.kind in ("lost", "quarantined"):
        return RunState.LOST
    if event.kind == "finished":
        return _state(event)
    if event.kind == "released":
        return RunState.CANCELLED  # the attempt; the run goes on
    # A retry says how its attempt ended only when it carries the error; otherwise another event does.
    if event.kind == "retrying" and event.data.get("error"):
        named = event.data.get("state")
        return RunState.TIMED_OUT if named == RunState.TIMED_OUT else RunState.FAILED
    return None


def omission(event: Event) -> Row:
    """Occurrences that did not become runs. Raises Unreadable when the event does not say which or why."""
    data = event.data
    first = moment(data.get("from")) or moment(data.get("nominal"))
    job = data.get("job") or owner_of(str(data.get("schedule") or event.run_id or ""))
    if first is None or not job:
        raise Unreadable("it names no job or no time")
    try:
        reason = Reason(str(data.get("reason")))
    except ValueError:
        raise Unreadable(f"{data.get('reason')!r} is not a reason") from None
    return {
        "job": text(job, NAME),
        "schedule": text(data.get("schedule"), SCHEDULE_ID),
        "reason": reason.value,
        "first": first,
        "last": moment(data.get("to")) or first,
        "count": whole(data.get("count"), 2**62) or 1,
        "actor": text(data.get("actor"), 150),
        "note": text(data.get("note"), MESSAGE),
    }


def deed(event: Event) -> Row:
    """What somebody did to a run."""
    data, at = event.data, _at(event)
    return {
        "event": text(event.id, 100),
        "run_id": _identity(event),
        "verb": text(data.get("verb"), 20),
        "actor": text(data.get("actor"), 150),
        "what": text(data.get("what"), MESSAGE),
        "reason": text(data.get("reason"), MESSAGE),
        "at": at,
    }


def dag_run(event: Event) -> Row:
    """The DAG run as this event shows it."""
    data, at = event.data, _at(event)
    finished = event.kind == "dag_finished"
    return {
        "dag_run_id": _identity(event),
        "dag": text(data.get("dag") or owner_of(event.run_id), NAME),
        "version": text(data.get("version"), 64),
        "state": (_named_state(event) if finished else RunState.RUNNING).value,
        "nominal": moment(data.get("nominal")),
        "params": stored(data.get("params")),
        "graph": stored(data.get("graph")),
        "summary": stored(data.get("summary")),
        "reason": text(data.get("reason"), MESSAGE),
        "queued_at": moment(data.get("queued_at")) or at,
        "started_at": moment(data.get("started_at")) or (None if finished else at),
        "finished_at": (moment(data.get("finished_at")) or at) if finished else None,
        "seen": _seen(event),
    }


def _identity(event: Event) -> str:
    if not event.run_id or len(event.run_id) > RUN_ID:
        raise Unreadable(f"a run id has 1 to {RUN_ID} characters; got {len(event.run_id or '')}")
    return text(event.run_id, RUN_ID)


def month_of(event: Event) -> date:
    """The month under which a run and its attempts are filed: the same for every event of it, in whatever order they come."""
    return month_for(event.run_id, event.data.get("born"), event.data.get("queued_at"), event.at)


def month_for(run_id: str, *moments: Any) -> date:
    """It is told by the moment in the run's id, else by when the DAG run of a node began, else by when the run was made.

    `moments` (epoch ms) are those times, and that of the event for want of any. Raises Unreadable when none of them is a time.
    """
    named = month_in(run_id)
    if named is None:
        born = next(filter(None, map(moment, moments)), None)
        if born is None:
            raise Unreadable(f"{moments[-1]!r} is not a time")
        named = born.year, born.month
    return _first_of(*named)


@lru_cache
def _first_of(year: int, month: int) -> date:
    return date(max(year, 1), min(max(month, 1), 12), 1)


def _occurrence(event: Event) -> tuple[str, datetime | None]:
    """Schedule and nominal time. Only the run that carries the occurrence's own id may claim its schedule."""
    nominal = event.data.get("nominal")
    schedule, when = text(event.data.get("schedule"), SCHEDULE_ID), moment(nominal)
    if when is None or nominal is None or not schedule:
        return "", when
    return (schedule if occurrence_id(schedule, int(nominal)) == event.run_id else ""), when


def arguments(data: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Positional and named arguments, from the ledger's text of both or from values of their own."""
    told = data.get("arguments")
    if told is None:
        return stored(data.get("args")), stored(data.get("kwargs"))
    return _kept_parts(told) if len(told) <= SHORT else _parts(told)


def _parts(told: str) -> tuple[str | None, str | None]:
    try:
        args, kwargs = masked(json.loads(told))
    except (TypeError, ValueError, RecursionError):
        return stored(told), None
    return stored(args), stored(kwargs)


# The runs of a schedule have the same arguments, time and again.
_kept_parts = lru_cache(maxsize=1024)(_parts)


def _state(event: Event) -> RunState:
    return _named_state(event) if event.kind == "finished" else _STATES[event.kind]


def _named_state(event: Event) -> RunState:
    state = _BY_NAME.get(str(event.data.get("state")))
    if state is None:
        raise Unreadable(f"{event.data.get('state')!r} is not a state")
    return state


def _error(data: Mapping[str, Any]) -> dict[str, str]:
    if not data.get("error"):
        return _NO_ERROR
    error = _mapping(data["error"])
    return {"error_type": text(error.get("type"), 255), "error_message": text(error.get("message"), MESSAGE)}


def _mapping(value: Any) -> dict[str, Any]:
    plain = parsed(value) if isinstance(value, str) else value
    if isinstance(plain, dict):
        return plain
    return {"message": plain} if plain else {}


def _at(event: Event) -> datetime:
    when = moment(event.at)
    if when is None:
        raise Unreadable(f"{event.at!r} is not a time")
    return when


def _seen(event: Event) -> int:
    """The event's place among those of its run: by time, within one millisecond by attempt and then by kind."""
    stage = RUN_KINDS.get(event.kind) or DAG_KINDS.get(event.kind) or 0
    return int(event.at) * 1_000_000 + (whole(event.data.get("attempt"), 9999) or 0) * 100 + stage

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
from backbeat.core.when import from_ms
from backbeat.runtime.ports import Ended, Event

if TYPE_CHECKING:
    from datetime import date

log = logging.getLogger(__name__)

_SHARED = ("state", "attempts", "task", "pool", "queue", "priority", "worker")
_NOTHING = ("reason", "error_type", "error_message", "dag_run", "node")
_SHARED_OF_ATTEMPT = ("number", "state", "worker", "error_type", "error_message", "traceback")
_OWN = ("job", "schedule", "nominal", "effective", "args", "kwargs", "queued_at", "started_at", "finished_at", "result")
RUN_COLUMNS = ("run_id", *_OWN, "month", "seen", *_SHARED, *_NOTHING)
ATTEMPT_COLUMNS = ("run_id", "started_at", "finished_at", "log", "month", "seen", *_SHARED_OF_ATTEMPT)
_FIRST_END = "000103"
"""How `seen` goes on after the milliseconds for the end of a first attempt; see snapshot.py."""


class Ready(NamedTuple):
    """What was told, and COPY's text of the plain ends among it."""

    told: Sequence[Event | Ended]
    others: Sequence[Event]
    """What is not in the text."""
    runs: str = ""
    attempts: str = ""

    @property
    def events(self) -> list[Event]:
        """All that was told."""
        return events_of(self.told)


def events_of(told: Sequence[Event | Ended]) -> list[Event]:
    """All of it as events."""
    return [one.event() if type(one) is Ended else one for one in told]  # type: ignore[misc]  # mypy does not part a union by `type`


def ready(told: Sequence[Event | Ended]) -> Ready:
    """The text of every plain end that is the only word about its run."""
    plain, others = _parted(told)
    # So that two writers never wait for each other in a circle.
    plain.sort(key=attrgetter("run_id"))
    ends: dict[Any, tuple[str, str]] = {}
    try:
        lines = [_lines(one, ends) for one in plain]
    except (TypeError, ValueError, ArithmeticError) as error:
        log.warning("a batch is recorded in the ordinary way: %s", error)
        return Ready(told, events_of(told))
    return Ready(told, others, "".join([run for run, _ in lines]), "".join([attempt for _, attempt in lines]))


def _parted(told: Sequence[Event | Ended]) -> tuple[list[Ended], list[Event]]:
    plain: list[Ended] = []
    others: list[Event] = []
    for one in told:
        if type(one) is not Ended:
            others.append(one)  # type: ignore[arg-type]  # as above
        elif _fits(one):
            plain.append(one)
        else:
            others.append(one.event())
    ids = {one.run_id for one in plain}
    if len(ids) < len(plain) or not ids.isdisjoint(one.run_id for one in others):
        return [], events_of(told)
    return plain, others


def _fits(one: Ended) -> bool:
    run_id, at = one.run_id, one.finished_at
    return bool(
        one.job
        and len(at) == 13
        and at.isascii()
        and at.isdigit()
        and 0 < len(run_id) <= RUN_ID
        and run_id.isprintable()
        and "\\" not in run_id
    )


def _lines(one: Ended, ends: dict[Any, tuple[str, str]]) -> tuple[str, str]:
    _, run_id, at, job, schedule, nominal, effective, queued_at, started_at, arguments, result, log, *_ = one
    alike = one.alike
    of_run, of_attempt = ends.get(alike) or ends.setdefault(alike, _ends(one.event()))
    ended_at = _stamp(at)
    times = f"{_stamp(started_at)}\t{ended_at}"
    due, month = _due(run_id, schedule, nominal, effective)
    place = f"{month or _month(run_id, queued_at, at)}\t{at}{_FIRST_END}"
    made = f"{_arguments(arguments)}\t{_made(queued_at, ended_at)}"
    result, log = _long(result, snapshot.RESULT), _long(log, snapshot.LOG)
    return (
        f"{run_id}\t{_job(job)}\t{due}\t{made}\t{times}\t{result}\t{place}\t{of_run}",
        f"{run_id}\t{times}\t{log}\t{place}\t{of_attempt}",
    )


def _ends(event: Event) -> tuple[str, str]:
    """How the lines of all runs end that share these facts."""
    run = snapshot.run(event)
    attempt = snapshot.attempt(event, run) or {}
    of_run, of_attempt = (*_SHARED, *_NOTHING), _SHARED_OF_ATTEMPT
    return line_of([run[column] for column in of_run]), line_of([attempt[column] for column in of_attempt])


def _due(run_id: str, schedule: str | None, nominal: str | None, effective: str | None) -> tuple[str, str]:
    """Schedule, nominal and effective time, and the month that these tell.

    Only the run that carries the occurrence's own id may claim its schedule.
    """
    named, when, month = _nominal(nominal)
    both = f"{when}\t{when if effective == nominal else _stamp(effective)}"
    schedule = text(schedule, SCHEDULE_ID)
    if not schedule or f"{schedule}@{named}" != run_id:
        return f"\t{both}", ""
    return f"{escaped(schedule)}\t{both}", month if "@" not in schedule else ""


@lru_cache(maxsize=4096)
def _nominal(ms: str | None) -> tuple[str, str, str]:
    """A moment as ids of runs have it, and as COPY has it; and its month."""
    when = moment(ms)
    if when is None or ms is None:
        return "", NULL, ""
    named = moment_of(int(ms))
    return named, _stamp(ms), _month(f"@{named}", ms, ms)


def _long(value: Any, limit: int) -> str:
    return "" if value is None else escaped(text(value, limit))


def _made(queued_at: str | None, ended_at: str) -> str:
    when = _stamp(queued_at)
    return ended_at if when == NULL else when


def _stamp(ms: str | None) -> str:
    """The moment of epoch milliseconds; NULL when they name none."""
    if ms and len(ms) == 13 and ms.isascii() and ms.isdigit():
        return f"{_second(ms[:10])}.{ms[10:]}+00"
    when = moment(ms)
    return NULL if when is None else when.isoformat()


@lru_cache(maxsize=4096)
def _second(text: str) -> str:
    return from_ms(int(text) * 1000).replace(tzinfo=None).isoformat()


@lru_cache(maxsize=4096)
def _job(name: str | None) -> str:
    return escaped(text(name, NAME))


def _month(run_id: str, queued_at: str | None, at: str) -> str:
    return _day(snapshot.month_for(run_id, queued_at, at))


@lru_cache
def _day(first: date) -> str:
    return first.isoformat()


def _arguments(told: str | None) -> str:
    return _kept_arguments(told) if told is None or len(told) <= snapshot.SHORT else _written(told)


def _written(told: str | None) -> str:
    args, kwargs = snapshot.arguments({"arguments": told})
    return f"{NULL if args is None else escaped(args)}\t{NULL if kwargs is None else escaped(kwargs)}"


_kept_arguments = lru_cache(maxsize=1024)(_written)

"""Everything that can be wrong with a definition, found at once. The form, the decorator and the importers all ask here.

The words come from the same functions that read the options of `@job`, so they are the same everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from backbeat.core import occurrence
from backbeat.core.arguments import too_much
from backbeat.core.calendar import Mode
from backbeat.core.foreign import PREFIX, is_foreign
from backbeat.core.hashed import hashed
from backbeat.core.job import JobSpec, Overlap, Schedule
from backbeat.core.message import arguments_of
from backbeat.core.options import OPTIONS
from backbeat.core.when import iso
from backbeat.errors import BadArguments, BadSchedule, DefinitionError

# A key is part of schedule ids and run ids, where @ : # / [ ] separate things.
KEY = re.compile(r"^[A-Za-z0-9_.\-]{0,50}$")
LONGEST_TASK = 255


def problems(spec: JobSpec) -> list[DefinitionError]:
    """What is wrong with a job and its schedules; empty when it may be saved. `error.field` names the field."""
    found = [
        error for option, read in OPTIONS.items() if option != "schedule" for error in _asked(read, getattr(spec, option), option)
    ]
    found += _reserved(spec)
    found += _task(spec)
    found += _limits(spec)
    found += _needless(spec)
    found += _batch(spec)
    found += [error for schedule in spec.schedules for error in schedule_problems(schedule, spec.schedule_id(schedule))]
    return found + list(_twice(spec))


def schedule_problems(schedule: Schedule, schedule_id: str = "?") -> list[DefinitionError]:
    """What is wrong with one schedule. The id only decides where a hashed field falls."""
    found = list(_asked(lambda when, _field: occurrence.check(hashed(when, schedule_id)), schedule.when, "schedule"))
    found += _key(schedule)
    found += argument_problems(schedule.args, schedule.kwargs)
    return found + list(_bounds(schedule))


def argument_problems(args: Any, kwargs: Any) -> list[DefinitionError]:
    """Whether arguments can travel: a list and an object with text names, holding only what JSON has."""
    if not isinstance(args, (list, tuple)):
        return [BadArguments("args", f"expected a list, such as [1, 2]; got {args!r}.")]
    if not hasattr(kwargs, "items") or not all(isinstance(name, str) for name in kwargs):
        return [BadArguments("kwargs", f'expected named arguments, such as {{"day": "2026-11-23"}}; got {kwargs!r}.')]
    try:
        text = arguments_of(args, kwargs)
    except (TypeError, ValueError, RecursionError) as error:
        return [BadArguments("args", f"expected values that JSON can hold; {error}.")]
    return [BadArguments("args", reason)] if (reason := too_much(text)) else []


def verify(spec: JobSpec) -> JobSpec:
    """The spec itself. Raises the first problem; when there are several, its sentence names them all."""
    found = problems(spec)
    if len(found) > 1:
        first, *others = found
        raise type(first)(first.field, " ".join([first.sentence, *map(str, others)]))
    if found:
        raise found[0]
    return spec


def _asked(read: Callable[[Any, str], Any], value: Any, field: str) -> Iterator[DefinitionError]:
    try:
        read(value, field)
    except DefinitionError as error:
        yield error


def _batch(spec: JobSpec) -> Iterator[DefinitionError]:
    if spec.batch == 1:
        return
    if spec.overlap not in (Overlap.ALLOW, Overlap.SKIP):
        yield DefinitionError(
            "batch", f"expected overlap 'allow' or 'skip' beside it, since runs that wait go alone; got {spec.overlap.value!r}."
        )
    if spec.max_concurrency or spec.rate:
        yield DefinitionError(
            "batch", "expected neither max_concurrency nor rate beside it, since these let runs pass one by one."
        )
    if spec.memory:
        yield DefinitionError("batch", "expected no limit of memory beside it, since nobody could tell which run took it.")
    if spec.gated:
        yield DefinitionError(
            "batch", "expected neither claim='database' nor transactional=True beside it, since these take runs one by one."
        )


def _reserved(spec: JobSpec) -> Iterator[DefinitionError]:
    if is_foreign(spec.name):
        reason = f"names that start with {PREFIX!r} belong to RedBeat's entries, which are fired under them"
        yield DefinitionError("name", f"{reason}; got {spec.name!r}. Choose another name.")


def _task(spec: JobSpec) -> Iterator[DefinitionError]:
    if not spec.task or len(spec.task) > LONGEST_TASK:
        yield DefinitionError(
            "task", f"expected the name of a Celery task, at most {LONGEST_TASK} characters; got {spec.task!r}."
        )


def _limits(spec: JobSpec) -> Iterator[DefinitionError]:
    if spec.timeout and spec.soft_timeout and spec.soft_timeout >= spec.timeout:
        got = f"{spec.soft_timeout:g} s, and timeout is {spec.timeout:g} s"
        yield DefinitionError("soft_timeout", f"expected less than timeout, or the job has no time to stop by itself; got {got}.")


def _needless(spec: JobSpec) -> Iterator[DefinitionError]:
    """Options that say how to apply a limit which is not there."""
    pairs = (("concurrency_key", "max_concurrency"), ("rate_key", "rate"), ("rate_burst", "rate"))
    for option, limit in pairs:
        if getattr(spec, option) and not getattr(spec, limit):
            yield DefinitionError(option, f"expected {limit} beside it, which it is about; got {getattr(spec, option)!r} alone.")


def _key(schedule: Schedule) -> Iterator[DefinitionError]:
    if not KEY.match(schedule.key):
        yield DefinitionError("key", f"expected letters, digits, '_', '-' and '.', at most 50; got {schedule.key!r}.")


def _bounds(schedule: Schedule) -> Iterator[DefinitionError]:
    if schedule.start is not None and schedule.end is not None and schedule.end < schedule.start:
        yield DefinitionError("end", f"expected an end after the start, {iso(schedule.start)}; got {iso(schedule.end)}.")
    if schedule.max_runs is not None and schedule.max_runs < 1:
        yield DefinitionError("max_runs", f"expected a whole number from 1, or nothing for no limit; got {schedule.max_runs!r}.")
    if schedule.calendar_mode not in set(Mode):
        yield DefinitionError("calendar_mode", f"expected one of {', '.join(Mode)}; got {schedule.calendar_mode!r}.")
    if not 0 <= schedule.jitter <= 86400:
        yield DefinitionError("jitter", f"expected 0 to 24 hours; got {schedule.jitter!r} s.")


def _twice(spec: JobSpec) -> Iterator[DefinitionError]:
    keys = [schedule.key for schedule in spec.schedules]
    for key in sorted({key for key in keys if keys.count(key) > 1}):
        yield BadSchedule("key", f"expected a key of its own for each schedule; {key!r} is there {keys.count(key)} times.")

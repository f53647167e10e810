"""The options of a job as people write them, made into a JobSpec. The decorator, the admin and the importers share this."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from enum import StrEnum
from typing import Any

from backbeat.core.duration import seconds
from backbeat.core.job import Claim, JobSpec, Misfire, Overlap, Schedule
from backbeat.core.limits import key_of, rate_of
from backbeat.core.priority import priority_of, queue_of
from backbeat.core.retry import Retry
from backbeat.core.size import memory_of
from backbeat.core.when import When
from backbeat.errors import BadSchedule, DefinitionError, UnknownOption, nearest

LARGEST_BATCH = 500
"""One script claims a whole batch, and Redis does nothing else meanwhile."""
NOT_OPTIONS = frozenset({"name", "task", "schedules"})


def job_spec(name: str, task: str, options: Mapping[str, Any]) -> JobSpec:
    """The job that these options describe. Raises DefinitionError, or UnknownOption with the nearest name."""
    unknown = [option for option in options if option not in OPTIONS]
    if unknown:
        known = ", ".join(sorted(OPTIONS))
        raise UnknownOption(unknown[0], f"job {name!r} has no such option.{nearest(unknown[0], OPTIONS)} Known: {known}.")
    values = {option: OPTIONS[option](value, option) for option, value in options.items()}
    schedules = values.pop("schedule", ())
    return JobSpec(name=name, task=task, schedules=schedules, **values)


def schedules_of(value: object, field: str = "schedule") -> tuple[Schedule, ...]:
    """One or several schedules; those without a key of their own are told apart by their position."""
    if value is None:
        return ()
    given = list(value) if isinstance(value, (list, tuple)) else [value]
    schedules = [_schedule(item, field) for item in given]
    keys = [schedule.key for schedule in schedules]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice == [""]:
        return tuple(_numbered(schedules))
    if twice:
        raise BadSchedule(field, f"expected a key of its own for each schedule; {twice[0]!r} is there twice.")
    return tuple(schedules)


def _schedule(item: object, field: str) -> Schedule:
    if isinstance(item, Schedule):
        return item
    if isinstance(item, When):
        return Schedule(item)
    hint = f" Write Cron({item!r})." if isinstance(item, str) else ""
    raise BadSchedule(field, f"expected Cron(…), Every(…), Once(…) or a list of them; got {item!r}.{hint}")


def _numbered(schedules: list[Schedule]) -> Iterable[Schedule]:
    taken = {schedule.key for schedule in schedules}
    numbers = (str(number) for number in range(1, 10**6) if str(number) not in taken)
    for schedule in schedules:
        if schedule.key:
            yield schedule
        else:
            values = {field.name: getattr(schedule, field.name) for field in fields(schedule)}
            yield Schedule(**{**values, "key": next(numbers)})


def _one_of(words: type[StrEnum]) -> Callable[[object, str], StrEnum]:
    def read(value: object, field: str) -> StrEnum:
        try:
            return words(str(value))
        except ValueError:
            known = [str(word) for word in words]
            near = nearest(value, known) if isinstance(value, str) else ""
            raise DefinitionError(field, f"expected one of {', '.join(known)}; got {value!r}.{near}") from None

    return read


def _retry(value: object, field: str) -> Retry:
    if isinstance(value, Retry):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return Retry(value)
    raise DefinitionError(field, f"expected a number of further attempts or Retry(…); got {value!r}.")


def _labels(value: object, field: str) -> dict[str, str]:
    if not isinstance(value, Mapping) or not all(isinstance(part, str) for item in value.items() for part in item):
        raise DefinitionError(field, f"expected texts by name, such as {{'tier': '1'}}; got {value!r}.")
    return dict(value)


def _pool(value: object, field: str) -> str:
    if not isinstance(value, str):
        raise DefinitionError(field, f"expected the name of a pool of workers; got {value!r}.")
    queue_of(value, 0)
    return value


def _text(value: object, field: str) -> str:
    if not isinstance(value, str):
        raise DefinitionError(field, f"expected text; got {value!r}.")
    return value


def _flag(value: object, field: str) -> bool:
    if not isinstance(value, bool):
        raise DefinitionError(field, f"expected True or False; got {value!r}.")
    return value


def _count(value: object, field: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise DefinitionError(field, f"expected a whole number from 1; got {value!r}.")
    return value


def _most(value: object, field: str) -> int | None:
    return None if value is None else _count(value, field)


def _batch(value: object, field: str) -> int:
    if _count(value, field) > LARGEST_BATCH:
        raise DefinitionError(field, f"expected at most {LARGEST_BATCH} runs in one message; got {value!r}.")
    return _count(value, field)


def _priority(value: object, _field: str) -> int:
    return priority_of(value)


def _length(value: Any, field: str) -> float | None:
    length = seconds(value, field)
    if length == 0:
        raise DefinitionError(field, "expected more than zero; leave it out for no limit.")
    return length


def _window(value: Any, field: str) -> float:
    length = _length(value, field)
    if length is None:
        raise DefinitionError(field, "expected a duration such as '24h'; got None.")
    return length


OPTIONS: dict[str, Callable[[Any, str], Any]] = {
    "schedule": schedules_of,
    "pool": _pool,
    "priority": _priority,
    "retry": _retry,
    "timeout": _length,
    "soft_timeout": _length,
    "memory": memory_of,
    "start_deadline": _length,
    "overlap": _one_of(Overlap),
    "misfire": _one_of(Misfire),
    "misfire_limit": _count,
    "misfire_window": _window,
    "claim": _one_of(Claim),
    "batch": _batch,
    "transactional": _flag,
    "max_concurrency": _most,
    "concurrency_key": key_of,
    "rate": rate_of,
    "rate_key": key_of,
    "rate_burst": _most,
    "enabled": _flag,
    "owner": _text,
    "labels": _labels,
    "description": _text,
}

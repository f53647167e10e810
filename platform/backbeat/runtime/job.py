"""`@job` and `adopt`: how a function, or a Celery task that already exists, becomes a job."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ParamSpec, TypedDict, TypeVar, Unpack, overload

from backbeat.core.job import JobSpec, Schedule
from backbeat.core.options import job_spec
from backbeat.core.retry import Retry
from backbeat.core.when import When
from backbeat.errors import DefinitionError
from backbeat.runtime import registry
from backbeat.runtime.binding import bind
from backbeat.runtime.handle import Job
from backbeat.runtime.registry import Place, RegisteredJob, checked

if TYPE_CHECKING:
    from celery import Task
    from pydantic import BaseModel

P = ParamSpec("P")
R = TypeVar("R")
Duration = str | float | timedelta


class JobOptions(TypedDict, total=False):
    """The options of `@job` and `adopt`. Durations are texts such as "20m", or seconds."""

    schedule: When | Schedule | Sequence[When | Schedule] | None
    pool: str
    priority: int | str
    retry: Retry | int
    timeout: Duration | None
    soft_timeout: Duration | None
    memory: str | int | None
    start_deadline: Duration | None
    overlap: str
    misfire: str
    misfire_limit: int
    misfire_window: Duration
    claim: str
    transactional: bool
    max_concurrency: int | None
    concurrency_key: str
    rate: str | int | None
    rate_key: str
    rate_burst: int | None
    batch: int
    enabled: bool
    owner: str
    labels: Mapping[str, str]
    description: str


@overload
def job(name: Callable[P, R], /) -> Job[P, R]: ...
@overload
def job(
    name: str | None = None, *, params: type[BaseModel], **options: Unpack[JobOptions]
) -> Callable[[Callable[..., R]], Job[..., R]]: ...
@overload
def job(name: str | None = None, **options: Unpack[JobOptions]) -> Callable[[Callable[P, R]], Job[P, R]]: ...
def job(name: Any = None, *, params: type[Any] | None = None, **options: Any) -> Any:
    """Make a function a job: `@job` or `@job("reports.daily", schedule=Cron(…), retry=3, timeout="20m")`.

    Without a name the job is called after its module (without a leading `jobs.`) and function. With `params=` the
    function takes one argument, that pydantic model. Raises DefinitionError, UnknownOption or DuplicateJob at import.
    """
    if callable(name):
        return _define(name, None, params, options)
    if name is not None and not isinstance(name, str):
        raise DefinitionError("name", f"expected text; got {name!r}.")
    return lambda function: _define(function, name, params, options)


def adopt(task: Task, name: str | None = None, **options: Unpack[JobOptions]) -> Job[..., Any]:
    """Make an existing Celery task a job, unchanged: `adopt(send_report, schedule=Every("1h"))`.

    The job has the task's name unless another is given. Raises DefinitionError, UnknownOption or DuplicateJob.
    """
    run, task_name = getattr(task, "run", None), getattr(task, "name", None)
    if not callable(run) or not isinstance(task_name, str):
        raise DefinitionError("task", f"expected a Celery task; got {task!r}. Use @job for a plain function.")
    caller = sys._getframe(1)  # noqa: SLF001 - the one way to name the place of the call in a message
    registered = RegisteredJob(
        spec=_spec(name or task_name, task_name, run, dict(options)),
        function=run,
        place=Place(caller.f_code.co_filename, caller.f_lineno),
        module=caller.f_globals.get("__name__", "?"),
        adopted=True,
    )
    return Job(registry.add(checked(registered)))


def _define(function: Callable[P, R], name: str | None, params: type[Any] | None, options: dict[str, Any]) -> Job[P, R]:
    _refuse_unfit(function)
    name = _default_name(function) if name is None else name
    registered = RegisteredJob(
        spec=_spec(name, name, function, options),
        function=function,
        place=Place(function.__code__.co_filename, function.__code__.co_firstlineno),
        module=function.__module__,
        model=params,
    )
    registered = registry.add(checked(registered))
    bind(name, function)
    return Job(registered)


def _spec(name: str, task: str, function: Callable[..., Any], options: dict[str, Any]) -> JobSpec:
    described = inspect.getdoc(function) or ""
    options.setdefault("description", described.partition("\n\n")[0].replace("\n", " "))
    return job_spec(name, task, options)


def _default_name(function: Callable[..., Any]) -> str:
    return f"{function.__module__.removeprefix('jobs.')}.{function.__name__}"


def _refuse_unfit(function: object) -> None:
    """Raise DefinitionError for what is not a plain function."""
    if isinstance(function, Job):
        raise DefinitionError("job", f"{function.name!r} is a job already; use one @job a function.")
    if hasattr(function, "apply_async"):
        raise DefinitionError("job", f"expected a plain function; got the Celery task {function!r}. Use adopt(task, …).")
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        cure = "Call asyncio.run(…) inside a plain one."
        raise DefinitionError("job", f"expected a plain function; got async {function.__name__}. {cure}")
    if inspect.isgeneratorfunction(function):
        raise DefinitionError("job", f"expected a function with a result; got the generator {function.__name__}. Return a list.")
    if not inspect.isfunction(function) or function.__name__ == "<lambda>":
        raise DefinitionError("job", f"expected a function made with def; got {function!r}.")

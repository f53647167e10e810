"""What `@job` leaves in the module: callable as before, and a Celery task where Celery asks for one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import update_wrapper
from importlib import import_module
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, cast

from backbeat.core import dag_build
from backbeat.runtime import context, registry
from backbeat.runtime.binding import job_task_of, task_of
from backbeat.runtime.registry import RegisteredJob

if TYPE_CHECKING:
    from celery import Task
    from celery.canvas import Signature
    from celery.result import AsyncResult

    from backbeat.core.job import JobSpec
    from backbeat.runtime.params import Params

P = ParamSpec("P")
R = TypeVar("R")


class Job(Generic[P, R]):
    """A function that is also a job.

    A plain call runs it here and now. `.delay`, `.apply_async` and signatures are Celery's, and go through the ledger;
    `.run` says why and can wait. Inside a `@dag` function a call makes a node. Every attribute that is not here is one of the
    Celery task's.
    """

    __name__: str

    def __init__(self, registered: RegisteredJob) -> None:
        self._registered = registered
        update_wrapper(self, registered.function)

    @property
    def name(self) -> str:
        """The job's name, which is its identity."""
        return self._registered.name

    @property
    def spec(self) -> JobSpec:
        """Its policies and schedules, as the code defines them; an operator may have changed some since."""
        return self._registered.spec

    @property
    def params(self) -> Params:
        """What it takes."""
        return self._registered.params

    @property
    def task(self) -> Task:
        """Its Celery task in the current app."""
        return task_of(self.spec.task)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function here, with checked arguments; inside a `@dag` function draw a node instead."""
        builder = dag_build.current()
        if builder is not None:
            # What a `@dag` function gets stands for the result, so to its reader the types are those of a call.
            return cast("R", builder.add(self, args, kwargs))
        if context.inside():
            return self._call(args, kwargs)
        with context.running(context.inline_run(self.name)):
            return self._call(args, kwargs)

    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> R:
        work = self.task if self._registered.adopted else None
        result: R = work(*args, **kwargs) if work else self._registered.perform(args, kwargs)
        return result

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> AsyncResult:
        """Submit a run, as Celery's `delay` does; the result's id is the run's."""
        return self.apply_async(args, kwargs)

    def apply_async(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> AsyncResult:
        """Submit a run with Celery's options, and `reason`, a text that is kept with it.

        Raises BadArguments for arguments that do not fit, StoreUnavailable, and ConfigurationError when the current Celery
        app was not made by Backbeat.
        """
        return cast("AsyncResult", job_task_of(self.spec.task).apply_async(args, kwargs, job=self.name, **options))

    def delay_on_commit(self, *args: P.args, **kwargs: P.kwargs) -> AsyncResult:
        """As `delay`, when the current transaction of Django's database commits; a part of it until then."""
        return self.apply_async_on_commit(args, kwargs)

    def apply_async_on_commit(
        self, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None, **options: Any
    ) -> AsyncResult:
        """As `apply_async`, when the current transaction of Django's database commits; a part of it until then.

        Raises BadArguments, also for options that can't wait, and ConfigurationError.
        """
        task = job_task_of(self.spec.task)
        return cast("AsyncResult", task.apply_async_on_commit(args, kwargs, job=self.name, **options))

    def run(self, *args: Any, reason: str = "", wait: bool | float = False, **kwargs: Any) -> Any:
        """Submit a run and return its id; with `wait` (True, or at most so many seconds) return its result instead.

        Raises BadArguments and StoreUnavailable; when waiting also whatever the job raised, and
        celery.exceptions.TimeoutError.
        """
        if not wait:
            # Imported here: submitting brings Redis along, which a module of jobs alone does not need.
            from backbeat.runtime.submit import submit

            return submit(self, args=args, kwargs=kwargs, reason=reason)
        return self.apply_async(args, kwargs, reason=reason).get(timeout=None if wait is True else wait)

    def s(self, *args: Any, **kwargs: Any) -> Signature:
        """A Celery signature of a call."""
        return cast("Signature", self.task.s(*args, **kwargs))

    def si(self, *args: Any, **kwargs: Any) -> Signature:
        """A Celery signature that takes nothing from the task before it."""
        return cast("Signature", self.task.si(*args, **kwargs))

    def signature(self, *args: Any, **kwargs: Any) -> Signature:
        """A Celery signature with options."""
        return cast("Signature", self.task.signature(*args, **kwargs))

    def map(self, over: Any, **options: Any) -> Any:
        """Inside a `@dag` function a node that runs once for each item; elsewhere Celery's `map`."""
        builder = dag_build.current()
        if builder is None:
            return self.task.map(over)
        limit, rule = options.pop("max_parallel", None), options.pop("when", None)
        return builder.add_map(self, over, options, limit, when=rule)

    def starmap(self, over: Iterable[Any]) -> Signature:
        """Celery's `starmap`."""
        return cast("Signature", self.task.starmap(over))

    def chunks(self, over: Iterable[Any], size: int) -> Signature:
        """Celery's `chunks`."""
        return cast("Signature", self.task.chunks(over, size))

    def __getattr__(self, name: str) -> Any:
        # Looking for a private or special name must not start a Celery app: copy, pickle and pytest ask for many.
        if name.startswith("_"):
            raise AttributeError(f"job has no attribute {name!r}")
        return getattr(self.task, name)

    def __repr__(self) -> str:
        return f"<job {self.name}>"

    def __copy__(self) -> Job[P, R]:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Job[P, R]:
        return self

    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        return _unpickled, (self._registered.module, self.name)


def _unpickled(module: str, name: str) -> Job[..., Any]:
    import_module(module)
    return Job(registry.get(name))

"""How a job gets its Celery task: in every app of the process, those that exist and those still to come."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

from celery import _state

from backbeat.errors import ConfigurationError
from backbeat.runtime import registry

if TYPE_CHECKING:
    from celery import Celery, Task

    from backbeat.runtime.task import JobTask

DAG_TASK = "backbeat.dag"
"""The Celery task that starts DAGs which no code defines: those of the admin and of imports."""

_bound: set[str] = set()


def bind(name: str, function: Callable[..., Any], *, dag: bool = False) -> None:
    """Give the job or DAG a Celery task of its own name, as `shared_task` does: when apps are finalized, not now.

    The task looks its job up when it runs, so that a reloaded module needs no second binding.
    """
    if name in _bound:
        return
    _bound.add(name)

    @wraps(function)
    def work(*args: Any, **kwargs: Any) -> Any:
        return registry.get(name).perform(args, kwargs)

    def add(app: Celery) -> None:
        app.task(name=name, base=_base(app, dag=dag), shared=False, lazy=False)(work)

    _state.connect_on_app_finalize(add)
    for app in _state._get_active_apps():  # noqa: SLF001 - what shared_task itself does; Celery has no public way
        if app.finalized:
            add(app)


def _base(app: Celery, *, dag: bool) -> type[Task]:
    """JobTask or DagTask, in the app's own flavour when the app was made by Backbeat."""
    # Imported here: the task class brings Redis along, which a module of jobs alone does not need.
    from backbeat.runtime.task import JobTask

    own: type[Task] = app.Task
    flavour = own if issubclass(own, JobTask) else JobTask
    if not dag:
        return flavour
    from backbeat.runtime.dag_task import DagTask

    return type("DagTask", (DagTask, flavour), {"abstract": True})


def job_task_of(name: str) -> JobTask:
    """The same, when it goes through the ledger. Raises ConfigurationError for a task that does not."""
    from backbeat.runtime.task import JobTask

    task = task_of(name)
    if not isinstance(task, JobTask):
        app = task.app.main or "?"
        raise ConfigurationError(
            f"task {name!r} belongs to the Celery app {app!r}, which knows no runs. Make it with Backbeat({app!r})."
        )
    return task


def task_of(name: str) -> Task:
    """The Celery task of this name in the current app. Raises celery.exceptions.NotRegistered."""
    task: Task = _state.get_current_app().tasks[name]
    return task


def bind_published() -> None:
    """Give every app the task that starts DAGs which no code defines."""

    def published() -> None:
        """Start a DAG that was published; its name stands in the run, not in the task."""

    bind(DAG_TASK, published, dag=True)

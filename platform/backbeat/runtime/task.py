"""The Celery task class of jobs: messages go through the ledger on the way out and on the way in."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import uuid4

from celery import Task
from celery.exceptions import MaxRetriesExceededError, Retry
from celery.result import AsyncResult
from celery.utils.saferepr import saferepr

from backbeat.core.keys import submitted_id
from backbeat.core.message import MEMORY_HEADER, group_of
from backbeat.core.when import to_ms
from backbeat.runtime import registry
from backbeat.runtime.attempt import execute
from backbeat.runtime.canvas import hand_over
from backbeat.runtime.context import inside
from backbeat.runtime.group import execute_group
from backbeat.runtime.hiding import SHOWN, shown
from backbeat.runtime.intake import intake
from backbeat.runtime.on_commit import ask_on_commit, moment_of
from backbeat.runtime.submit import checked_arguments, prepare
from backbeat.store.store import open_store


class JobTask(Task):  # type: ignore[misc]  # Celery is untyped
    """Base of every task of a Backbeat app. Tasks that are no jobs behave as plain Celery tasks."""

    abstract = True
    Request = "backbeat.runtime.request:JobRequest"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Called by the worker: an attempt under the ledger. Called by you: the function, inline."""
        request = self.request
        if request.called_directly or request.is_eager or not self._is_job():
            return super().__call__(*args, **kwargs)
        if run_ids := group_of(getattr(request, "backbeat", None)):
            return execute_group(self, run_ids)
        return execute(self, args, kwargs, super().__call__)

    def start_strategy(self, app: Any, consumer: Any, **kwargs: Any) -> Any:
        """How a worker takes in messages for this task."""
        handle = super().start_strategy(app, consumer, **kwargs)
        return intake(consumer.hostname, handle) if self.name in registry.jobs else handle

    def _is_job(self) -> bool:
        return self.name in registry.jobs or bool(getattr(self.request, "backbeat", None))

    def apply_async(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        task_id: str | None = None,
        **options: Any,
    ) -> Any:
        """As Celery's, for jobs through the ledger: the run exists before its message does.

        `countdown` and `eta` wait on the time index, never in the broker; `reason` is kept with the run; `job` names the
        job when the task goes by another name. Returns an AsyncResult whose id is the run's.
        """
        if "node" in ((options.get("headers") or {}).get("backbeat") or ()):
            # A DAG's node on its way through canvas: its run is in the ledger, and so are its arguments.
            return hand_over(self.app, self.name, str(task_id), options)
        job, reason = options.pop("job", self.name), options.pop("reason", "")
        if job not in registry.jobs or self.app.conf.task_always_eager:
            return super().apply_async(args, kwargs, task_id=task_id, **options)
        arguments = checked_arguments(job, args or (), kwargs or {})
        delay = _delay(options.pop("countdown", None), options.pop("eta", None))
        run_id = task_id or submitted_id(job, uuid4().hex)
        priority = options.pop("priority", None)
        template, created = prepare(open_store(), job, run_id, arguments, delay=delay, priority=priority, reason=reason)
        if not created or delay:
            return AsyncResult(run_id, app=self.app)
        options.setdefault("queue", template.queue)
        headers = {**(options.pop("headers", None) or {}), "backbeat": {"slot": open_store().slots.of(run_id).slot}}
        if template.memory:
            headers[MEMORY_HEADER] = template.memory
        limits = {"time_limit": template.timeout, "soft_time_limit": template.soft_timeout}
        options = {**{name: value for name, value in limits.items() if value}, **options}
        args, kwargs = json.loads(arguments)
        for name, value in zip(("argsrepr", "kwargsrepr"), shown(job, args, kwargs), strict=True):
            options.setdefault(name, saferepr(value, SHOWN))
        return super().apply_async(args, kwargs, task_id=run_id, headers=headers, **options)

    def delay_on_commit(self, *args: Any, **kwargs: Any) -> Any:
        """As `apply_async_on_commit`, with the job's arguments alone."""
        return self.apply_async_on_commit(args, kwargs)

    def apply_async_on_commit(
        self,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        task_id: str | None = None,
        **options: Any,
    ) -> Any:
        """As that of Celery's task for Django. What is asked for of a job is a row of the current transaction, so that no
        crash between commit and publication loses it; the AsyncResult is returned at once. Raises BadArguments.
        """
        job = options.pop("job", self.name)
        if job not in registry.jobs or self.app.conf.task_always_eager:
            from celery.contrib.django.task import DjangoTask  # only where there is Django

            return DjangoTask.apply_async_on_commit(self, args, kwargs, task_id=task_id, **options)
        run_id = ask_on_commit(job, args or (), kwargs or {}, task_id, options)
        return AsyncResult(run_id, app=self.app)

    def retry(
        self,
        args: Any = None,
        kwargs: Any = None,
        exc: BaseException | None = None,
        throw: bool = True,
        eta: datetime | None = None,
        countdown: float | None = None,
        max_retries: int | None = None,
        **options: Any,
    ) -> Any:
        """As Celery's; inside a run the next attempt waits on the time index. Different arguments are not possible there."""
        if not inside():
            return super().retry(args, kwargs, exc, throw, eta, countdown, max_retries, **options)
        limit = self.max_retries if max_retries is None else max_retries
        if limit is not None and self.request.retries >= limit:
            raise exc or MaxRetriesExceededError(f"{self.name} [{self.request.id}] was retried {limit} times")
        delay = _delay(countdown, eta) or (0.0 if countdown == 0 else float(self.default_retry_delay))
        asked = Retry(exc=exc, when=delay)
        if throw:
            raise asked
        return asked


def _delay(countdown: float | None, eta: datetime | str | None) -> float:
    """Seconds from now, by the one clock; 0 for at once."""
    if countdown is not None:
        return max(0.0, float(countdown))
    if eta is None:
        return 0.0
    return max(0.0, (to_ms(moment_of(eta)) - open_store().slots.now_ms()) / 1000)

"""Asking for a run: now, later, or under an idempotency key."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import wraps
from typing import Any, ParamSpec, TypeVar
from uuid import uuid4

from backbeat.core.arguments import too_much
from backbeat.core.dag import Dag, bound
from backbeat.core.keys import RunId, submitted_id
from backbeat.core.message import arguments_of, envelope
from backbeat.core.priority import priority_of
from backbeat.core.template import Template, read
from backbeat.errors import BadArguments, StoreUnavailable, UnknownJob, nearest
from backbeat.runtime import provided, registry
from backbeat.runtime.insist import OUTAGE
from backbeat.runtime.ports import Submission
from backbeat.store.store import Store, open_store

P = ParamSpec("P")
T = TypeVar("T")


def submit(
    job: Any,
    *,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    key: str | None = None,
    priority: int | str | None = None,
    delay: float = 0.0,
    reason: str = "",
    on_commit: bool = False,
) -> RunId:
    """Ask for one run of a job (its name, or what `@job` made) and return the run's id.

    With `key` the id is the same for every call, so that asking twice, also at once or after the run ended (for as long
    as BACKBEAT_KEY_RETENTION), gives one run. `delay` is seconds. With `on_commit` what is asked for is part of the current
    transaction of Django's database and is sent when that commits, if need be later, by a keeper: it needs no Redis now.
    Raises UnknownJob, BadArguments, StoreUnavailable.
    """
    name = job if isinstance(job, str) else str(job.name)
    run_id = submitted_id(name, key if key is not None else uuid4().hex)
    if on_commit:
        number = None if priority is None else priority_of(priority)
        arguments = checked_arguments(_task_by_database(name), args, kwargs or {})
        asked = Submission(run_id, name, arguments, policies_of(name), delay, priority=number, reason=reason)
        provided.submissions().add(asked)
        return run_id
    store = open_store()
    # A job of the admin's has no code of its own: then its task's parameters count.
    code = name if name in registry.jobs else template_of(store, name).task
    arguments = checked_arguments(code, args, kwargs or {})
    if code not in registry.jobs and (graph := published(store, name)) is not None:
        bound(graph, args, kwargs or {})
    prepare(store, name, run_id, arguments, delay=delay, priority=priority, reason=reason, keyed=key is not None, send=True)
    return run_id


def _task_by_database(job: str) -> str:
    """Whose parameters count, without asking Redis."""
    if job in registry.jobs:
        return job
    task = provided.submissions().task_of(job)
    if task is None:
        raise _unknown(job)
    return task


def policies_of(job: str) -> str:
    """The policies that this process's code has for a job, as text; empty when it has none."""
    registered = registry.jobs.get(job)
    return "" if registered is None else Template.of(registered.spec).text


def _unknown(job: str) -> UnknownJob:
    return UnknownJob(f"no job is named {job!r}.{nearest(job, registry.jobs)} Define it with @job or in the admin.")


def fields_of(template: Template, job: str, *, reason: str = "", keyed: bool = False, send: bool = True) -> dict[str, str]:
    """What the ledger keeps of a run that was asked for, but for its arguments."""
    fields = {"j": job, "n": "", "q": template.queue, "tid": template.id}
    extra = {"why": reason, "ky": "1" if keyed else "", "res": "" if send else "1"}
    return fields | {name: value for name, value in extra.items() if value}


def outage_told(call: Callable[P, T]) -> Callable[P, T]:
    """An outage of Redis as StoreUnavailable, so that callers need not know redis-py's errors."""

    @wraps(call)
    def told(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return call(*args, **kwargs)
        except OUTAGE as error:
            raise StoreUnavailable(f"{StoreUnavailable.__doc__} ({error})") from error

    return told


@outage_told
def published(store: Store, name: str) -> Dag | None:
    """The graph of this name that no code defines, or None. Raises StoreUnavailable."""
    return store.dags.published(name)


@outage_told
def prepare(
    store: Store,
    job: str,
    run_id: str,
    arguments: str,
    *,
    delay: float = 0.0,
    priority: int | str | None = None,
    reason: str = "",
    keyed: bool = False,
    send: bool = False,
    facts: Mapping[str, str] | None = None,
    policies: str = "",
) -> tuple[Template, bool]:
    """Put a run into the ledger; returns its policies and whether it is new.

    `send` also hands its message over, in the same script; without it the caller publishes one himself (Celery's canvas
    needs its own), or, should he die before that, the keeper does. A delayed run is always the keeper's to send.
    `facts` are more fields of the run, as the ledger names them. `policies` (text of a template) are those of a job that is
    not defined here.
    """
    in_force, template = _as_heard(store, job, run_id, policies)
    while True:
        template = template or template_of(store, job, policies)
        if priority is not None:
            template = replace(template, priority=priority_of(priority))
        store.index.keep_template(run_id, template, job)
        fields = fields_of(template, job, reason=reason, keyed=keyed, send=send) | {"x": arguments} | dict(facts or {})
        outline = replace(template.outline, queue=fields["q"], ignore_result="res" not in fields) if facts else template.outline
        message = envelope(outline, run_id, arguments, slot=store.slots.of(run_id).slot) if send else ""
        created, state = store.ledger.submit(run_id, fields, message, delay, in_force)
        if state != "changed":
            return template, created
        in_force, template = "", None


@outage_told
def template_of(store: Store, job: str, policies: str = "") -> Template:
    """The policies of a job: as defined (admin and importers included), else as this process's code, or `policies`, says."""
    known = store.index.template_of(job)
    if known is not None:
        return known
    text = policies_of(job) or policies
    if not text:
        raise _unknown(job)
    return read(text)


def _as_heard(store: Store, job: str, run_id: str, policies: str) -> tuple[str, Template | None]:
    """A job's policies as this process heard of them before, and what the script that makes the run must find in force.

    One question less for whoever asks often. Nothing for a run whose id, given by its caller, puts it into another slot.
    """
    if store.slots.of(run_id) is not store.slots.of(job):
        return "", None
    in_force, known = store.index.heard_of(job)
    text = "" if known or not in_force else policies_of(job) or policies
    template = read(text) if text else known
    return (in_force, template) if template else ("", None)


def checked_arguments(task: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """Arguments as JSON text, validated by the job's parameters when its code is loaded here. Raises BadArguments."""
    registered = registry.jobs.get(task)
    if registered is not None:
        args, kwargs = registered.params.validate(args, kwargs)
    try:
        text = arguments_of(args, kwargs)
    except (TypeError, ValueError, RecursionError) as error:
        raise BadArguments("args", f"expected values that JSON can hold; {error}.") from error
    if reason := too_much(text):
        raise BadArguments("args", reason)
    return text


@outage_told
def cancel(run_id: str, reason: str = "cancelled") -> str:
    """Cancel a run: 'cancelled' at once, 'asked' when a worker must stop it first, 'gone' when it is over."""
    return open_store().ledger.cancel(run_id, reason)

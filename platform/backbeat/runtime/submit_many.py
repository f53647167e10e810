"""Asking for many runs of one job at once: a script for hundreds of them, several scripts in one round trip."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any
from uuid import uuid4

from backbeat.core.dag import bound
from backbeat.core.keys import RunId, submitted_id
from backbeat.core.message import envelope, group_envelope
from backbeat.core.priority import priority_of
from backbeat.core.template import Template
from backbeat.errors import BadArguments
from backbeat.runtime import registry
from backbeat.runtime.submit import checked_arguments, fields_of, outage_told, published, template_of
from backbeat.store.ledger import Letter
from backbeat.store.store import Store, open_store

Call = Sequence[Any] | Mapping[str, Any]
A_SCRIPT = 200
"""Runs in one script: at some ten microseconds each, Redis is never blocked for more than a few milliseconds."""
A_SCRIPT_BYTES = 1_000_000
A_TRIP = 5
"""Scripts in one round trip."""


def submit_many(
    job: Any,
    calls: Iterable[Call],
    *,
    keys: Sequence[str] | None = None,
    priority: int | str | None = None,
    delay: float = 0.0,
    reason: str = "",
) -> list[RunId]:
    """Ask for a run of a job (its name, or what `@job` made) for each call, and return the runs' ids in the same order.

    A call is a sequence of arguments, or a mapping of named ones; `keys` are idempotency keys, one a call, and `delay` is
    seconds: all as with `submit`. With `batch=` up to so many runs share one message. All calls are checked before the first
    run is asked for. When Redis goes away in the middle, some runs exist and others don't: ask again, with the same keys, and
    each is there once. Raises UnknownJob, BadArguments, StoreUnavailable.
    """
    name = job if isinstance(job, str) else str(job.name)
    store = open_store()
    template = template_of(store, name)
    if priority is not None:
        template = replace(template, priority=priority_of(priority))
    arguments = list(_checked(store, name, name if name in registry.jobs else template.task, calls))
    if keys is not None and len(keys) != len(arguments):
        raise BadArguments("keys", f"expected one for each of {len(arguments)} calls; got {len(keys)}.")
    run_ids = [submitted_id(name, key) for key in (keys if keys is not None else (uuid4().hex for _ in arguments))]
    fields = fields_of(template, name, reason=reason, keyed=keys is not None)
    _send(store, name, template, fields, zip(run_ids, arguments, strict=True), delay)
    return run_ids


def _checked(store: Store, job: str, task: str, calls: Iterable[Call]) -> Iterator[str]:
    """The arguments of each call as JSON text. Raises BadArguments, which tells which call it is."""
    graph = published(store, job) if task not in registry.jobs else None
    for number, call in enumerate(calls):
        args, kwargs = ((), call) if isinstance(call, Mapping) else (call, {})
        try:
            yield checked_arguments(task, args, kwargs)
            if graph is not None:
                bound(graph, args, kwargs)
        except BadArguments as error:
            raise BadArguments(f"calls[{number}]", str(error)) from error


@outage_told
def _send(
    store: Store, job: str, template: Template, fields: Mapping[str, str], runs: Iterable[tuple[RunId, str]], delay: float
) -> None:
    store.index.keep_template(job, template, job)
    scripts = _scripts(_letters(store, template, runs))
    while trip := list(islice(scripts, A_TRIP)):
        store.ledger.submit_many(job, template.queue, fields, trip, delay)


def _letters(store: Store, template: Template, runs: Iterable[tuple[RunId, str]]) -> Iterator[Letter]:
    """Runs with the messages that carry them."""
    rest = iter(runs)
    while together := list(islice(rest, template.batch)):
        slot = store.slots.of(together[0][0]).slot
        if len(together) > 1 and not any("\n" in run_id for run_id, _ in together):
            yield Letter(group_envelope(template.outline, [run_id for run_id, _ in together], slot, template.batch), together)
            continue
        # A message that carries several parts their ids by a new line.
        yield from (Letter(envelope(template.outline, *run, slot=slot), [run]) for run in together)


def _scripts(letters: Iterable[Letter]) -> Iterator[list[Letter]]:
    """As many letters as one script may take."""
    found: list[Letter] = []
    runs = size = 0
    for letter in letters:
        if found and (runs + len(letter.runs) > A_SCRIPT or size + letter.size > A_SCRIPT_BYTES):
            yield found
            found, runs, size = [], 0, 0
        found.append(letter)
        runs, size = runs + len(letter.runs), size + letter.size
    if found:
        yield found

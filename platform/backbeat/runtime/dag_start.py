"""From a queued run to a DAG run: the graph pinned, the messages of its nodes prepared, its roots queued."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from backbeat.core.dag import Dag, bound
from backbeat.core.dag_check import validated
from backbeat.core.dag_data import to_data
from backbeat.core.dag_wire import Wire, counters
from backbeat.core.message import arguments_in, arguments_of, dumps, envelope, fill, group_mould
from backbeat.core.plan import plan
from backbeat.core.template import Template
from backbeat.errors import UnknownJob, nearest
from backbeat.runtime import registry
from backbeat.runtime.backfill import LANE, LOWEST
from backbeat.runtime.dag_advance import advance
from backbeat.runtime.dag_alone import changed, going_on, needs_no_message
from backbeat.runtime.dag_spec import spec_of
from backbeat.runtime.redeliver import message_of
from backbeat.runtime.submit import prepare, template_of
from backbeat.store.store import Store

DRAWN = 3_000
"""Nodes above which history keeps no picture of the graph with every run."""
_NO_ARGUMENTS = arguments_of([], {})
_RUN, _RUNS = "~run~", "~runs~"


def start_run(store: Store, task: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """Start the DAG run of a message; `started`, `waits` for its turn, or why the message is a duplicate.

    Raises BackbeatError when the DAG can't start, and what redis-py raises when Redis does not answer.
    """
    run_id = str(task.request.id)
    fields = store.ledger.get(run_id)
    if not fields:
        if getattr(task.request, "backbeat", None):
            return "gone"
        # A stock producer sent it: it becomes a run now, as a job's message does at its first claim.
        prepare(store, task.name, run_id, arguments_of(args, kwargs))
        fields = store.ledger.get(run_id)
    dag = dag_named(store, fields["j"])
    alone = going_on(dag, lambda job: template_of(store, job))
    wire = Wire(plan(dag, direct=store.slots.direct, goes_on=alone))
    params = bound(dag, args, kwargs)
    _check_types(dag, args, kwargs)
    begun = _started(store, run_id, wire, fields, params)
    if begun == "unknown":
        store.dags.put_graph(run_id, wire.version, wire.fields())
        begun = _started(store, run_id, wire, fields, params)
    return begun


def dag_named(store: Store, name: str) -> Dag:
    """The graph of a DAG: from this process's code, else as it was published. Raises UnknownJob."""
    registered = registry.jobs.get(name)
    if registered is not None and registered.dag is not None:
        return registered.dag
    published = store.dags.published(name)
    if published is None:
        known = [job.name for job in registry.jobs.values() if job.dag is not None]
        raise UnknownJob(f"no DAG is named {name!r}.{nearest(name, known)} Define it with @dag, or import it.")
    return validated(published)


def _check_types(dag: Dag, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Refuse what the function of a DAG that code defines would not take; a published one says nothing of types."""
    registered = registry.jobs.get(dag.name)
    if registered is not None and registered.dag is dag:
        registered.params.restore(args, kwargs)


def _started(store: Store, run_id: str, wire: Wire, fields: Mapping[str, str], params: Mapping[str, Any]) -> str:
    dag = wire.dag
    facts = {"e": dumps(run_id)[1:-1], "nominal": fields.get("n", ""), "params": dumps(params)}
    begun = store.dags.start(
        run_id,
        wire.version,
        len(dag.nodes),
        facts,
        [dumps(kind) for kind in _kinds(store, run_id, wire, _priority(store, run_id, dag, fields), lowest=LANE in fields)],
        counters(dag),
        _story(dag, wire, fields, params),
        message=message_of(store, run_id, fields) or "",
        max_active=dag.max_active,
        deadline=dag.timeout,
    )
    if begun.more:
        advance(store, run_id)
    return begun.outcome


def _kinds(store: Store, run_id: str, wire: Wire, priority: int | None, *, lowest: bool) -> Iterator[dict[str, Any]]:
    slot = store.slots.of(run_id).slot
    for kind in wire.kinds:
        template = changed(template_of(store, kind.job), wire.dag, kind, priority)
        if lowest:
            # No node of a backfill may overtake live work, whatever priority it has of its own.
            template = replace(template, priority=LOWEST)
        store.index.keep_template(run_id, template, kind.job)
        message = envelope(template.outline, _RUN, _NO_ARGUMENTS, slot=slot)
        alone = {"on": 1} if needs_no_message(template) else {}
        yield {"j": kind.job, "q": template.queue, "t": template.id, "m": message, **_shared(template, slot), **alone}


def _shared(template: Template, slot: int) -> dict[str, Any]:
    """How many nodes may share a message, and what that one looks like."""
    if template.batch == 1:
        return {}
    mould = group_mould(template.outline, slot, template.batch)
    return {"b": template.batch, "g": fill(mould, _RUNS, _RUN, arguments_in(_NO_ARGUMENTS), _RUN)}


def _priority(store: Store, run_id: str, dag: Dag, fields: Mapping[str, str]) -> int | None:
    """The priority that this run was asked for with, when it is not the DAG's own: its nodes inherit it."""
    template = store.index.template(store.slots.of(run_id).slot, fields["tid"])
    registered = registry.jobs.get(dag.name)
    usual = (registered.spec if registered is not None else spec_of(dag)).priority
    return None if template is None or template.priority == usual else template.priority


def _story(dag: Dag, wire: Wire, fields: Mapping[str, str], params: Mapping[str, Any]) -> dict[str, Any]:
    """What history keeps of a DAG run at its start."""
    story: dict[str, Any] = {"dag": dag.name, "version": wire.version, "params": params}
    story |= {name: int(fields[short]) for name, short in (("nominal", "n"), ("queued_at", "c")) if fields.get(short)}
    if fields.get("why"):
        story["reason"] = fields["why"]
    if len(dag.nodes) <= DRAWN:
        edges = [[parent, node.id] for node in dag.nodes for parent in node.parents]
        story["graph"] = {"nodes": to_data(dag)["nodes"], "edges": edges, "critical": list(wire.plan.critical_path)}
    return story

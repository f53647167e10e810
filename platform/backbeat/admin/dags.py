"""Writing graphs that no code defines. The importer and the admin's form both save through here.

A graph is two rows: what it is (`Dag`), and a `Job` of the same name that says when it runs and who owns it, so that
schedules, pauses and backfills are those of any other job.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any

from django.db import transaction

from backbeat.admin import definitions
from backbeat.admin.dag_rows import OF_THE_JOB, graph_in, publish_graphs
from backbeat.admin.models import Dag, DagVersion, Job, Source
from backbeat.admin.publishing import now_or_later
from backbeat.core.dag import Dag as Graph
from backbeat.core.dag import bound
from backbeat.core.dag_check import Problem, check
from backbeat.core.dag_data import graph_data, to_data
from backbeat.core.dag_nest import unfolded
from backbeat.errors import BadArguments, GraphError, NotAllowed, UnknownJob, nearest
from backbeat.runtime import registry
from backbeat.runtime.binding import DAG_TASK
from backbeat.runtime.dag_spec import spec_of
from backbeat.store.store import open_store


def known_jobs() -> frozenset[str]:
    """The jobs that nodes may name: those of the code and those of the database. Graphs are not among them; see `others`."""
    named = Job.objects.exclude(task=DAG_TASK).filter(orphaned_at=None).values_list("name", flat=True)
    return frozenset((*registry.jobs, *named)) - _graph_names()


def others(name: str = "") -> frozenset[str]:
    """The graphs that a node of this one may name, of the code and of the database."""
    return _graph_names() - {name}


def whole(graph: Graph) -> Graph:
    """The graph as it runs, with the nodes of the graphs that stand in it. Raises GraphError when they do not fit."""
    return unfolded(graph, _within_reach(graph))


def problems(graph: Graph) -> list[Problem]:
    """Everything that is wrong with a graph, or only odd; in the words of `backbeat dag plan`."""
    nested, jobs = [], known_jobs()
    try:
        found = check(whole(graph), jobs)
    except GraphError as error:
        nested = [Problem("inner", sentence) for sentence in error.problems]
        found = check(graph, jobs | _graph_names())
    wrong = [*_reserved(graph), *_starts(graph), *nested]
    # An error makes what is only odd beside the point.
    return [*wrong, *(problem for problem in found if not (wrong and problem.warning))]


def save(graph: Graph, *, actor: str = "", source: str = Source.ADMIN, dry_run: bool = False) -> None:
    """Store a graph and the job of its name; both take effect when the transaction commits. The same graph changes nothing.

    Runs that are under way keep the version with which they began. Raises GraphError with everything that is wrong.
    """
    if wrong := [problem.sentence for problem in problems(graph) if not problem.warning]:
        raise GraphError(graph.name, wrong)
    if not dry_run:
        _write(graph, actor, source)


@transaction.atomic
def delete(name: str) -> None:
    """Remove a graph and its job; history stays, and runs that are under way go on. Raises UnknownJob, NotAllowed."""
    row = _row(name)
    if around := _around(name):
        raise NotAllowed(f"DAG {name!r} is a part of {', '.join(one.name for one in around)}; take it out there first.")
    job = Job.objects.filter(name=name).first()
    if job is not None:
        definitions.delete(job)
    row.delete()
    transaction.on_commit(lambda: now_or_later(lambda: open_store().dags.withdraw(name), f"removal of DAG {name}"))


def graph_named(name: str) -> Graph:
    """A stored graph, with the schedules and policies of its job. Raises UnknownJob with the nearest name."""
    return graph_in(_row(name))


def graphs() -> Iterator[Graph]:
    """Every stored graph, by name."""
    return map(graph_in, Dag.objects.order_by("name"))


@transaction.atomic
def _write(graph: Graph, actor: str, source: str) -> None:
    # Before the job's own publication: its schedules must not fire a graph that is not there.
    transaction.on_commit(lambda: now_or_later(publish_graphs, f"DAG {graph.name}"))
    definitions.save(spec_of(graph), source=source)
    row = Dag.objects.select_for_update().filter(name=graph.name).first() or Dag(name=graph.name, source=source, edits=0)
    _keep(row, {key: value for key, value in to_data(graph).items() if key not in OF_THE_JOB}, whole(graph), actor)
    follow(_around(graph.name), actor)


def _keep(row: Dag, data: dict[str, Any], running: Graph, actor: str) -> None:
    if row.pk and (row.data, row.version) == (data, running.version):
        return
    row.data, row.version, row.edits = data, running.version, row.edits + 1
    row.save()
    made = {"graph": graph_data(running), "actor": actor}
    DagVersion.objects.get_or_create(dag=row.name, version=row.version, defaults=made)


def follow(rows: Iterable[Dag], actor: str = "") -> None:
    """Give graphs the inner graphs of today, a new version where those have changed. Raises GraphError when they do not fit."""
    for row in rows:
        graph = graph_in(row)
        if wrong := [problem.sentence for problem in problems(graph) if not problem.warning]:
            raise GraphError(row.name, [f"DAG {row.name!r}, which holds it, would be wrong: {sentence}" for sentence in wrong])
        _keep(row, row.data, whole(graph), actor)


def _around(name: str) -> list[Dag]:
    """The stored graphs in which this one stands, directly or inside others."""
    rows, found = {row.name: row for row in Dag.objects.all()}, {name}
    while more := {row.name for row in rows.values() if row.name not in found and _named_in(row) & found}:
        found |= more
    return [rows[one] for one in sorted(found - {name})]


@transaction.atomic
def follow_code() -> list[tuple[str, str]]:
    """After a deploy: give stored graphs the code's graphs of today. Returns (name, why) of those that stay as they were."""
    names, refused = _graph_names(), []
    for row in Dag.objects.all():
        if _named_in(row) & names:
            try:
                follow([row])
            except GraphError as error:
                refused.append((row.name, error.sentence))
    return refused


def _named_in(row: Dag) -> set[str]:
    return {node.get("job") for node in row.data.get("nodes", ())}


def _within_reach(graph: Graph) -> Callable[[str], Graph | None]:
    """Finds graphs by name, each once; the one at hand as it is here, not as it is stored."""
    there = _graph_names()

    @cache
    def found(name: str) -> Graph | None:
        if name == graph.name:
            return graph
        if name not in there:
            return None
        registered = registry.jobs.get(name)
        return registered.dag if registered is not None and registered.dag is not None else graph_named(name)

    return found


def _row(name: str) -> Dag:
    row = Dag.objects.filter(name=name).first()
    if row is None:
        there = Dag.objects.values_list("name", flat=True)
        raise UnknownJob(f"no DAG {name!r} is stored here.{nearest(name, there)} Those of the code stay in the code.")
    return row


def _graph_names() -> frozenset[str]:
    stored = Dag.objects.values_list("name", flat=True)
    return frozenset((*stored, *(name for name, job in registry.jobs.items() if job.dag is not None)))


def _reserved(graph: Graph) -> Iterator[Problem]:
    """A name that something else has: its runs would be taken for this graph's."""
    known = registry.jobs.get(graph.name)
    job = Job.objects.filter(name=graph.name).exclude(task=DAG_TASK).first()
    if known is not None or job is not None:
        where = known.place if known is not None else "the admin"
        yield Problem("name", f"the name {graph.name!r} belongs to a job or DAG defined in {where}; choose another one.")


def _starts(graph: Graph) -> Iterator[Problem]:
    """Schedules whose arguments the graph would refuse when it starts."""
    for schedule in graph.schedules:
        try:
            bound(graph, schedule.args, schedule.kwargs)
        except BadArguments as error:
            yield Problem("schedule", f"schedule {schedule.key or 1}: {error.sentence}")

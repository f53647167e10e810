"""Writing graphs that no code defines. The importer and the admin's form both save through here.

A graph is two rows: what it is (`Dag`), and a `Job` of the same name that says when it runs and who owns it, so that
schedules, pauses and backfills are those of any other job.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from django.db import transaction

from backbeat.admin import definitions
from backbeat.admin.dag_rows import OF_THE_JOB, graph_in, publish_graphs
from backbeat.admin.models import Dag, DagVersion, Job, Source
from backbeat.admin.publishing import now_or_later
from backbeat.core.dag import Dag as Graph
from backbeat.core.dag import bound
from backbeat.core.dag_check import Problem, check
from backbeat.core.dag_data import graph_data, to_data
from backbeat.errors import BadArguments, GraphError, UnknownJob, nearest
from backbeat.runtime import registry
from backbeat.runtime.binding import DAG_TASK
from backbeat.runtime.dag_spec import spec_of
from backbeat.store.store import open_store


def known_jobs() -> frozenset[str]:
    """The jobs that nodes may name: those of the code and those of the database. Graphs are not among them."""
    named = Job.objects.exclude(task=DAG_TASK).filter(orphaned_at=None).values_list("name", flat=True)
    return frozenset((*registry.jobs, *named)) - _graph_names()


def problems(graph: Graph, jobs: Collection[str] | None = None) -> list[Problem]:
    """Everything that is wrong with a graph, or only odd; in the words of `backbeat dag plan`."""
    graphs_there = _graph_names()
    found = check(graph, (known_jobs() if jobs is None else frozenset(jobs)) | graphs_there)
    wrong = [*_reserved(graph), *_starts(graph), *_nested(graph, graphs_there)]
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
    """Remove a graph and its job; history stays, and runs that are under way go on. Raises UnknownJob."""
    row = _row(name)
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
    data = {key: value for key, value in to_data(graph).items() if key not in OF_THE_JOB}
    if not row.pk or row.data != data:
        row.data, row.version, row.edits = data, graph.version, row.edits + 1
        row.save()
        made = {"graph": graph_data(graph), "actor": actor}
        DagVersion.objects.get_or_create(dag=graph.name, version=graph.version, defaults=made)


def _row(name: str) -> Dag:
    row = Dag.objects.filter(name=name).first()
    if row is None:
        there = Dag.objects.values_list("name", flat=True)
        raise UnknownJob(f"no DAG {name!r} is stored here.{nearest(name, there)} Those of the code stay in the code.")
    return row


def _graph_names() -> frozenset[str]:
    stored = Dag.objects.values_list("name", flat=True)
    return frozenset((*stored, *(name for name, job in registry.jobs.items() if job.dag is not None)))


def _nested(graph: Graph, graphs_there: Collection[str]) -> Iterator[Problem]:
    for node in graph.nodes:
        if node.job in graphs_there:
            text = f"node {node.id!r}: {node.job!r} is a DAG, and a node runs a job. Put that DAG's nodes into this one."
            yield Problem("job", text, (node.id,))


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

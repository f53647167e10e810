"""From the rows of graphs to graphs, and from there to Redis."""

from __future__ import annotations

from dataclasses import replace

from django.db.models import F

from backbeat.admin.models import Dag, DagVersion, Job
from backbeat.admin.publishing import to_spec
from backbeat.core.dag import Dag as Graph
from backbeat.core.dag_data import from_data
from backbeat.store.store import open_store

OF_THE_JOB = ("schedules", "overlap", "misfire", "start_deadline", "owner", "labels", "description", "enabled")
"""What stands with the job of the graph's name, so that it is told in one place."""


def graph_in(row: Dag) -> Graph:
    """The graph of a row, with the schedules and policies of its job."""
    graph = from_data(row.data)
    job = Job.objects.prefetch_related("schedules").filter(name=row.name).first()
    if job is None:
        return graph
    spec = to_spec(job)
    return replace(graph, **{name: getattr(spec, name) for name in OF_THE_JOB} | {"enabled": job.enabled})


def running_graph(row: Dag) -> Graph:
    """The graph as it runs: the content of its version, with the nodes of inner graphs as they were when it was saved."""
    graph = graph_in(row)
    if graph.version == row.version:
        return graph
    kept = DagVersion.objects.filter(dag=row.name, version=row.version).first()
    if kept is None:
        return graph
    whole = from_data({"dag": row.name, **kept.graph})
    return replace(graph, nodes=whole.nodes, params=whole.params, required=whole.required, types=whole.types)


def publish_graphs() -> int:
    """Send to Redis what it does not have: edits, and everything after it came back empty. How many graphs that was."""
    rows = list(Dag.objects.values_list("name", "edits", "published_edit"))
    if not rows:
        return 0
    dags, count = open_store().dags, 0
    there = dags.which_published([name for name, *_ in rows])
    for name, edits, published in rows:
        row = None if edits == published and name in there else Dag.objects.filter(name=name).first()
        if row is not None:
            dags.publish(running_graph(row))
            Dag.objects.filter(name=name, edits=row.edits).update(published_edit=F("edits"))
            count += 1
    return count

"""How long the nodes of a graph took, from history."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime

from backbeat.admin.models import DagRun, Run
from backbeat.core.state import RunState

RUNS = 5
"""So many of the newest DAG runs that ended well are looked at."""


def durations_of(dag: str) -> dict[str, float]:
    """Mean seconds by node, over the last runs of a graph that succeeded; a mapped node counts from its first item's start
    to its last item's end. Empty when there is none.
    """
    newest = DagRun.objects.filter(dag=dag, state=RunState.SUCCEEDED).order_by("-queued_at").values_list("pk", flat=True)
    spans: dict[tuple[str, str], tuple[datetime, datetime]] = {}
    rows = Run.objects.filter(dag_run__in=list(newest[:RUNS]), state=RunState.SUCCEEDED).exclude(dag_run="")
    for run, node, start, end in rows.values_list("dag_run", "node", "started_at", "finished_at"):
        if start is not None and end is not None:
            place = run, node.partition("[")[0]
            first, last = spans.get(place, (start, end))
            spans[place] = min(first, start), max(last, end)
    took: defaultdict[str, list[float]] = defaultdict(list)
    for (_, node), (start, end) in spans.items():
        took[node].append((end - start).total_seconds())
    return {node: sum(lengths) / len(lengths) for node, lengths in took.items()}

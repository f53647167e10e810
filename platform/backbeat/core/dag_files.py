"""Graphs that others recorded: the compact form `{name, tasks: [{id, name, runtime_s, parents}]}` and WfCommons' WfFormat.

They become DAGs of one timed job: every node sleeps for as long as its task ran, times a scale, and does nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from backbeat.core.dag import Dag, Node
from backbeat.core.dag_data import from_data
from backbeat.errors import GraphError

TIMED_JOB = "timed.sleep"
"""The job that a node of an imported graph runs; it takes `seconds`."""
_FORBIDDEN = re.compile(r"[^A-Za-z0-9_.\-]+")


def read(data: Mapping[str, Any], *, job: str = TIMED_JOB, scale: float = 1.0) -> Dag:
    """A DAG from any form that is known here, told apart by its keys. Raises GraphError when it is none of them."""
    if "tasks" in data:
        return from_compact(data, job=job, scale=scale)
    if "workflow" in data:
        return from_wfformat(data, job=job, scale=scale)
    if "dag" in data or "nodes" in data:
        return from_data(data)
    has = ", ".join(list(data)[:10]) or "nothing"
    raise GraphError("dag", f"expected an object with 'nodes' (ours), 'tasks' (compact) or 'workflow' (WfFormat); got {has}.")


def from_compact(data: Mapping[str, Any], *, job: str = TIMED_JOB, scale: float = 1.0) -> Dag:
    """A DAG from the compact form. `scale` is multiplied with every run time."""
    rows = (
        (task["id"], task.get("runtime_s"), task.get("parents", ()))
        for task in data["tasks"]
    )  # fmt: skip
    return _timed(str(data.get("name", "imported")), rows, job, scale)


def from_wfformat(data: Mapping[str, Any], *, job: str = TIMED_JOB, scale: float = 1.0) -> Dag:
    """A DAG from a WfFormat instance: 1.4 and older (tasks in `workflow.tasks`) and 1.5 (specification and execution)."""
    workflow = data["workflow"]
    tasks = workflow.get("specification", workflow).get("tasks", [])
    measured = workflow.get("execution", {}).get("tasks", [])
    took = {row["id"]: _runtime(row) for row in measured}
    rows = []
    for task in tasks:
        name = task.get("id") or task["name"]
        rows.append((name, took.get(name, _runtime(task)), task.get("parents", ())))
    return _timed(str(data.get("name", "imported")), rows, job, scale)


def _runtime(task: Mapping[str, Any]) -> float | None:
    seconds = task.get("runtimeInSeconds", task.get("runtime"))
    return None if seconds is None else float(seconds)


def _timed(name: str, rows: Iterable[tuple[str, float | None, Iterable[str]]], job: str, scale: float) -> Dag:
    tasks = list(rows)
    ids = _ids([str(row[0]) for row in tasks])
    nodes = []
    for given, runtime, parents in tasks:
        # A parent that is not there keeps its own name, so that the check can say which it is.
        after = tuple([ids.get(str(parent), str(parent)) for parent in parents])
        seconds = None if runtime is None else round(runtime * scale, 6)
        kwargs = {} if seconds is None else {"seconds": seconds}
        nodes.append(Node(ids[str(given)], job, (), kwargs, after, "", seconds))
    return Dag(_clean(name), tuple(nodes))


def _ids(given: list[str]) -> dict[str, str]:
    """Each task's id as a node id: forbidden characters become '_', and what would then be equal gets a number."""
    ids: dict[str, str] = {}
    taken: set[str] = set()
    for name in given:
        clean = free = _clean(name)
        count = 1
        while free in taken and name not in ids:
            count += 1
            free = f"{clean}-{count}"
        ids.setdefault(name, free)
        taken.add(free)
    return ids


def _clean(name: str) -> str:
    return _FORBIDDEN.sub("_", name).lstrip(".-")[:140] or "_"

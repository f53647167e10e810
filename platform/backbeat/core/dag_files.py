"""Graphs that others recorded: the compact form `{name, tasks: [{id, name, runtime_s, parents}]}` and WfCommons' WfFormat.

They become DAGs of one timed job: every node sleeps for as long as its task ran, times a scale, and does nothing else; or
each node runs the program that its task ran.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

from backbeat.core.dag import Dag, Node
from backbeat.core.dag_data import from_data
from backbeat.errors import GraphError

TIMED_JOB = "timed.sleep"
"""The job that a node of an imported graph runs; it takes `seconds`."""
COMMAND_JOB = "commands.run"
"""The job of a node that runs its task's program; it takes `argv`."""
_FORBIDDEN = re.compile(r"[^A-Za-z0-9_.\-]+")


@dataclass(frozen=True, slots=True)
class _Task:
    """One recorded task: `command` is the words of its program, empty when nobody recorded them."""

    id: str
    runtime: float | None
    parents: tuple[str, ...]
    command: tuple[str, ...] = ()
    alias: str = ""
    """The name under which children of older formats know it, though it has an id."""


def read(data: Mapping[str, Any], *, job: str = TIMED_JOB, scale: float = 1.0, commands: bool = False) -> Dag:
    """A DAG from any form that is known here, told apart by its keys. Raises GraphError when it is none of them.

    `commands` makes nodes of a WfFormat graph run the programs that it names, instead of `job` for as long as they took.
    """
    if "tasks" in data:
        return from_compact(data, job=job, scale=scale)
    if "workflow" in data:
        return from_wfformat(data, job=job, scale=scale, commands=commands)
    if "dag" in data or "nodes" in data:
        return from_data(data)
    has = ", ".join(map(str, list(data)[:10])) or "nothing"
    raise GraphError("dag", f"expected an object with 'nodes' (ours), 'tasks' (compact) or 'workflow' (WfFormat); got {has}.")


def from_compact(data: Mapping[str, Any], *, job: str = TIMED_JOB, scale: float = 1.0) -> Dag:
    """A DAG from the compact form. `scale` is multiplied with every run time. Raises GraphError."""
    return _recorded(data, data["tasks"], lambda task: task.get("runtime_s"), job, scale)


def from_wfformat(data: Mapping[str, Any], *, job: str = TIMED_JOB, scale: float = 1.0, commands: bool = False) -> Dag:
    """A DAG from a WfFormat instance: 1.4 and older (tasks in `workflow.tasks`) and 1.5 (specification and execution).

    Raises GraphError.
    """
    workflow = _object(data["workflow"], "'workflow'")
    tasks = _object(workflow.get("specification", workflow), "'specification'").get("tasks", [])
    execution = _object(workflow.get("execution") or {}, "'execution'")
    measured = {row["id"]: row for row in execution.get("tasks") or () if isinstance(row, Mapping) and "id" in row}

    def runtime(task: Mapping[str, Any]) -> Any:
        row = measured.get(task.get("id"), task)
        return row.get("runtimeInSeconds", row.get("runtime"))

    def command(task: Mapping[str, Any]) -> tuple[str, ...]:
        found = measured.get(task.get("id"), task).get("command") or {}
        words = (found.get("program"), *(found.get("arguments") or ())) if isinstance(found, Mapping) else ()
        return tuple(map(str, words)) if words and words[0] else ()

    return _recorded(data, tasks, runtime, job, scale, command if commands else None)


def _recorded(
    data: Mapping[str, Any],
    tasks: Any,
    runtime_of: Callable[[Mapping[str, Any]], Any],
    job: str,
    scale: float,
    command_of: Callable[[Mapping[str, Any]], tuple[str, ...]] | None = None,
) -> Dag:
    name, found, wrong = str(data.get("name", "imported")), [], []
    if not isinstance(tasks, list):
        raise GraphError(name, f"expected 'tasks' to be a list; got {type(tasks).__name__}.")
    for place, task in enumerate(tasks, 1):
        try:
            found.append(_task(task, runtime_of, command_of))
        except (TypeError, ValueError) as error:
            wrong.append(f"task {place}: {error}")
    if wrong:
        raise GraphError(name, wrong)
    return _dag(name, found, job, scale)


def _task(
    task: Any,
    runtime_of: Callable[[Mapping[str, Any]], Any],
    command_of: Callable[[Mapping[str, Any]], tuple[str, ...]] | None,
) -> _Task:
    if not isinstance(task, Mapping):
        raise TypeError(f"expected an object; got {type(task).__name__}.")
    name = task.get("id") or task.get("name")
    if not isinstance(name, (str, int)):
        raise TypeError(f"expected an id or a name; got {name!r}.")
    parents, runtime = task.get("parents") or [], runtime_of(task)
    if not isinstance(parents, list):
        raise TypeError(f"expected 'parents' of {name!r} to be a list; got {type(parents).__name__}.")
    if runtime is not None and (not isinstance(runtime, (int, float)) or not 0 <= runtime < inf):
        raise ValueError(f"expected the run time of {name!r} to be seconds, 0 or more; got {runtime!r}.")
    command = command_of(task) if command_of else ()
    if command_of and not command:
        raise ValueError(f"{name!r} names no program; import it without commands.")
    return _Task(str(name), runtime, tuple(map(str, parents)), command, str(task.get("name", "")))


def _object(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise GraphError("workflow", f"expected {what} to be an object; got {type(value).__name__}.")
    return value


def _dag(name: str, tasks: list[_Task], job: str, scale: float) -> Dag:
    ids = _ids([task.id for task in tasks])
    ids = {task.alias: ids[task.id] for task in tasks if task.alias} | ids
    nodes = []
    for task in tasks:
        # A parent that is not there keeps its own name, so that the check can say which it is.
        after = tuple([ids.get(parent, parent) for parent in task.parents])
        seconds = None if task.runtime is None else round(task.runtime * scale, 6)
        kwargs: dict[str, Any] = {} if seconds is None else {"seconds": seconds}
        if task.command:
            kwargs = {"argv": list(task.command)}
        nodes.append(Node(ids[task.id], COMMAND_JOB if task.command else job, (), kwargs, after, "", seconds))
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

"""Graphs on engines other than Celery, timed as benchmarks/dag.py times ours. Usage: dask|prefect WIDTH NOTES [FILE]

Nodes do nothing but note when they began and ended. Dask: two worker processes with one thread each, all state in memory.
Prefect: two threads, and a server of its own with SQLite, as its documents start it.
"""

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

Graph = Mapping[str, Sequence[str]]
"""Node → its parents, parents first."""


def note(name: str, *_parents: object) -> None:
    """A node."""
    begun = time.monotonic_ns()
    handle = os.open(os.environ["BENCH_STAMPS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, f"{name} {begun} {time.monotonic_ns()}\n".encode())
    os.close(handle)


def on_dask(graphs: Sequence[Graph]) -> list[float]:
    """Nodes a second of each graph."""
    from dask import delayed
    from distributed import Client, LocalCluster

    node = delayed(note, pure=False)
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        found = []
        for graph in ({"warm": ()}, *graphs):
            made: dict[str, object] = {}
            for name, parents in graph.items():
                made[name] = node(name, *(made[parent] for parent in parents))
            client.gather(client.compute(list(made.values())))
            found.append(rate(graph))
        return found[1:]


def on_prefect(graphs: Sequence[Graph]) -> list[float]:
    """Nodes a second of each graph."""
    from prefect import flow, task
    from prefect.task_runners import ThreadPoolTaskRunner

    node = task(note)

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=2))
    def run(graph: Graph) -> None:
        made: dict[str, object] = {}
        for name, parents in graph.items():
            made[name] = node.submit(name, wait_for=[made[parent] for parent in parents])
        for future in made.values():
            future.wait()

    found = []
    for graph in ({"warm": ()}, *graphs):
        run(graph)
        found.append(rate(graph))
    return found[1:]


def rate(graph: Graph) -> float:
    """Nodes a second, from the first begin to the last end; the notes are gone then. Fails when a node did not run once."""
    stamps = Path(os.environ["BENCH_STAMPS"])
    lines = [line.split() for line in stamps.read_text().splitlines()]
    stamps.unlink()
    if sorted(name for name, *_ in lines) != sorted(graph):
        raise RuntimeError(f"{len(graph)} nodes are in the graph, {len(lines)} ran")
    return len(lines) / (max(int(end) for *_, end in lines) - min(int(begun) for _, begun, _ in lines)) * 1e9


def fan_of(width: int) -> Graph:
    """One node, so many behind it, one behind all of them."""
    parts = [f"part{number}" for number in range(width)]
    return {"root": (), **dict.fromkeys(parts, ("root",)), "join": parts}


def recorded(path: Path) -> Graph:
    """A recorded graph in the compact form, parents first."""
    left = {str(task["id"]): [str(parent) for parent in task["parents"]] for task in json.loads(path.read_text())["tasks"]}
    order: dict[str, Sequence[str]] = {}
    while left:
        ready = {name: parents for name, parents in left.items() if all(parent in order for parent in parents)}
        order |= ready
        for name in ready:
            del left[name]
    return order


if __name__ == "__main__":
    way, width, os.environ["BENCH_STAMPS"], *more = sys.argv[1:]
    wanted = [fan_of(int(width)), *map(recorded, map(Path, more))]
    rates = (on_dask if way == "dask" else on_prefect)(wanted)
    sys.stdout.write(json.dumps(dict(zip(("nodes_per_s", "recorded_per_s"), rates, strict=False))) + "\n")

"""A DAG run as a picture: levels from left to right, one box a node, a mapped node as one box with its counts. Pure."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import networkx as nx

from backbeat.core.dag_data import from_data
from backbeat.core.state import RunState
from backbeat.errors import DefinitionError

WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN = 180, 46, 60, 14, 12
DRAWN = 300
"""With more nodes than this, each level is one box."""
LETTERS = 22
_INDEX = re.compile(r"\[\d+\]$")
# What a box of many is coloured by: the first of these that one of them has.
_WORST = [
    RunState.FAILED,
    RunState.TIMED_OUT,
    RunState.QUARANTINED,
    RunState.LOST,
    RunState.UPSTREAM_FAILED,
    RunState.RUNNING,
    RunState.RETRYING,
    RunState.QUEUED,
    RunState.PENDING,
    RunState.CANCELLED,
    RunState.EXPIRED,
    RunState.MISSED,
    RunState.SKIPPED,
    RunState.SUCCEEDED,
]


@dataclass
class Box:
    """A node, or a level of many nodes. `states` counts its runs."""

    id: str
    label: str
    states: Counter[str] = field(default_factory=Counter)
    x: int = 0
    y: int = 0

    @property
    def state(self) -> str:
        """The state that the box is coloured by: the worst of its runs, pending before there is any."""
        return next((state.value for state in _WORST if self.states[state.value]), RunState.PENDING.value)

    @property
    def caption(self) -> str:
        """Counts of a mapped node, the state of a single one."""
        total = self.states.total()
        if total <= 1:
            return self.state.replace("_", " ")
        done = self.states[RunState.SUCCEEDED.value]
        return f"{done} of {total} succeeded" if done < total else f"{total} succeeded"


@dataclass(frozen=True)
class Picture:
    """Boxes and the curves between them, with the size of the whole."""

    boxes: list[Box]
    curves: list[str]
    width: int
    height: int
    folded: bool = False


def base_of(node: str) -> str:
    """The node of the graph that a run belongs to: `check[17]` is one item of `check`."""
    return _INDEX.sub("", node)


def edges_of(graph: Mapping[str, Any] | None) -> tuple[list[str], list[tuple[str, str]]]:
    """Node ids and edges of a stored graph: with `edges` listed, or as `core.dag_data` writes it."""
    if not graph:
        return [], []
    ids = [str(node["id"]) for node in graph.get("nodes", [])]
    if "edges" in graph:
        return ids, [(str(a), str(b)) for a, b in graph["edges"]]
    try:
        dag = from_data({"dag": "graph", **graph})
    except (DefinitionError, KeyError, TypeError):
        return ids, []
    return ids, [(parent, node.id) for node in dag.nodes for parent in node.parents]


def draw(graph: Mapping[str, Any] | None, runs: Iterable[tuple[str, str]]) -> Picture:
    """The picture of a graph whose runs are (node, state). Nodes that the graph does not know are drawn without edges."""
    ids, edges = edges_of(graph)
    states: dict[str, Counter[str]] = defaultdict(Counter)
    for node, state in runs:
        states[base_of(node)][state] += 1
    shape = nx.DiGraph()
    shape.add_nodes_from([*ids, *(node for node in states if node not in set(ids))])
    shape.add_edges_from((a, b) for a, b in edges if a in shape and b in shape)
    if not nx.is_directed_acyclic_graph(shape):
        shape.remove_edges_from(list(shape.edges))
    levels = [list(level) for level in nx.topological_generations(shape)]
    if len(shape) > DRAWN:
        return _folded(levels, states)
    boxes = {node: Box(node, _short(node), states[node]) for level in levels for node in level}
    return _placed(
        [[boxes[node] for node in level] for level in _untangled(levels, shape)], [(boxes[a], boxes[b]) for a, b in shape.edges]
    )


def _folded(levels: Sequence[Sequence[str]], states: Mapping[str, Counter[str]]) -> Picture:
    boxes = [
        Box(f"level {n}", f"level {n}: {len(level)} nodes", sum((states[one] for one in level), Counter()))
        for n, level in enumerate(levels, 1)
    ]
    picture = _placed([[box] for box in boxes], list(pairwise(boxes)))
    return Picture(picture.boxes, picture.curves, picture.width, picture.height, folded=True)


def _untangled(levels: Sequence[list[str]], shape: Any) -> list[list[str]]:
    """Each level ordered by where its parents stand, which keeps most curves from crossing."""
    place: dict[str, float] = {}
    ordered = []

    def wanted(node: str) -> float:
        parents = [place[parent] for parent in shape.predecessors(node)]
        return sum(parents) / len(parents) if parents else 0.0

    for level in levels:
        row = sorted(level, key=wanted)
        place |= {node: number - len(row) / 2 for number, node in enumerate(row)}
        ordered.append(row)
    return ordered


def _placed(levels: Sequence[Sequence[Box]], edges: Iterable[tuple[Box, Box]]) -> Picture:
    tallest = max((len(level) for level in levels), default=0)
    for column, level in enumerate(levels):
        top = MARGIN + (tallest - len(level)) * (HEIGHT + GAP_Y) // 2
        for row, box in enumerate(level):
            box.x, box.y = MARGIN + column * (WIDTH + GAP_X), top + row * (HEIGHT + GAP_Y)
    width = 2 * MARGIN + max(len(levels) * (WIDTH + GAP_X) - GAP_X, 0)
    height = 2 * MARGIN + max(tallest * (HEIGHT + GAP_Y) - GAP_Y, 0)
    return Picture([box for level in levels for box in level], [_curve(a, b) for a, b in edges], width, height)


def _curve(start: Box, end: Box) -> str:
    x1, y1, x2, y2 = start.x + WIDTH, start.y + HEIGHT // 2, end.x, end.y + HEIGHT // 2
    middle = (x1 + x2) // 2
    return f"M{x1} {y1} C{middle} {y1} {middle} {y2} {x2} {y2}"


def _short(name: str) -> str:
    return name if len(name) <= LETTERS else f"{name[: LETTERS - 1]}…"

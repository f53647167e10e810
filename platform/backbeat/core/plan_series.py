"""Whether a graph is made of nothing but "one after another" and "side by side", and how.

The test is that of Valdes, Tarjan and Lawler: a graph is series-parallel when its transitive reduction is the line graph
of a two-terminal graph that series and parallel steps shrink to one edge.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from backbeat.core.dag_shape import Shape
from backbeat.core.plan_reduce import DRAWABLE, reduction

_Place = int
_SOURCE, _SINK = -1, -2


@dataclass(frozen=True, slots=True)
class Tree:
    """`node` for a leaf; else the parts that run in series or in parallel. Series in series is one series."""

    kind: str
    node: str = ""
    parts: tuple[Tree, ...] = ()

    def __str__(self) -> str:
        joined = (" → " if self.kind == "series" else " | ").join(map(str, self.parts))
        return self.node or (joined if self.kind == "series" else f"({joined})")


def decompose(shape: Shape) -> Tree | None:
    """The decomposition, or None when the graph is not series-parallel (or too large to be reduced)."""
    if not len(shape) or len(shape) > DRAWABLE:
        return None
    ends = _line_root(shape)
    return None if ends is None else _shrink({name: ends[number] for number, name in enumerate(shape.ids)})


def _line_root(shape: Shape) -> list[tuple[_Place, _Place]] | None:
    """Each node as an edge of the graph whose line graph this is. None when there is no such graph: then some nodes
    share one child without sharing them all.
    """
    children: list[list[int]] = [[] for _ in shape.ids]
    parents: list[list[int]] = [[] for _ in shape.ids]
    for edge in reduction(shape):
        above, below = (shape.place[name] for name in edge)
        children[above].append(below)
        parents[below].append(above)
    block_above, block_below = [_SOURCE] * len(shape), [_SINK] * len(shape)
    block = 0
    for node, first in enumerate(children):
        if not first or block_below[node] != _SINK:
            continue
        heads, tails = parents[first[0]], set(first)
        if any(set(children[head]) != tails for head in heads) or any(len(parents[tail]) != len(heads) for tail in tails):
            return None
        for head in heads:
            block_below[head] = block
        for tail in tails:
            block_above[tail] = block
        block += 1
    return list(zip(block_above, block_below, strict=True))


def _shrink(edges: dict[str, tuple[_Place, _Place]]) -> Tree | None:
    between: dict[_Place, dict[_Place, Tree]] = defaultdict(dict)
    into: dict[_Place, set[_Place]] = defaultdict(set)
    look: list[_Place] = []

    def put(start: _Place, end: _Place, tree: Tree) -> None:
        same = between[start].get(end)
        between[start][end] = _joined("parallel", same, tree) if same else tree
        into[end].add(start)
        look.extend((start, end))

    for name, (start, end) in edges.items():
        put(start, end, Tree("node", name))
    while look:
        place = look.pop()
        if place in (_SOURCE, _SINK) or len(into[place]) != 1 or len(between[place]) != 1:
            continue
        (start,), ((end, second),) = into[place], between.pop(place).items()
        first = between[start].pop(place)
        into[end].discard(place)
        into[place].clear()
        put(start, end, _joined("series", first, second))
    left = {(start, end): tree for start, ends in between.items() for end, tree in ends.items()}
    return left.get((_SOURCE, _SINK)) if len(left) == 1 else None


def _joined(kind: str, *trees: Tree) -> Tree:
    parts = tuple(part for tree in trees for part in (tree.parts if tree.kind == kind else (tree,)))
    return Tree(kind, parts=parts)

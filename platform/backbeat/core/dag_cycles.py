"""Finding the shortest cycle of each tangle in a graph, so that an error can name it node by node."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import networkx as nx

BUDGET = 4_000_000
"""Edges to look at in one tangle before the best cycle found so far has to do."""


@dataclass(frozen=True, slots=True)
class Cycle:
    """A cycle without its last step back to the first node; `tangle` counts the nodes that lie on cycles with it."""

    nodes: tuple[str, ...]
    tangle: int
    shortest: bool = True

    def __str__(self) -> str:
        return " → ".join([*self.nodes, self.nodes[0]])


def cycles(graph: nx.DiGraph[str]) -> list[Cycle]:
    """One shortest cycle for each strongly connected part of the graph, shortest first. Self-edges are not counted."""
    tangles = [part for part in nx.strongly_connected_components(graph) if len(part) > 1]
    found = [_shortest(graph, part) for part in tangles]
    return sorted(found, key=lambda cycle: (len(cycle.nodes), cycle.nodes))


def _shortest(graph: nx.DiGraph[str], tangle: Collection[str]) -> Cycle:
    best: tuple[str, ...] = ()
    spent = 0
    # Short cycles go through well-connected nodes, and each one found bounds the walks that follow.
    for start in sorted(tangle, key=lambda node: (-graph.degree(node), node)):
        if len(best) == 2 or spent > BUDGET:
            break
        way, seen = _way_back(graph, start, tangle, len(best))
        spent += seen
        best = way or best
    first = best.index(min(best))
    return Cycle(best[first:] + best[:first], len(tangle), shortest=spent <= BUDGET)


def _way_back(graph: nx.DiGraph[str], start: str, tangle: Collection[str], shorter_than: int) -> tuple[tuple[str, ...], int]:
    """The shortest way from a node back to itself, if it has fewer nodes than asked for, and the edges looked at."""
    came_from: dict[str, str] = {}
    depth = {start: 1}
    queue, seen = deque([start]), 0
    while queue:
        node = queue.popleft()
        if shorter_than and depth[node] >= shorter_than:
            break
        for child in graph[node]:
            seen += 1
            if child == start and node != start:
                return tuple(_trail(came_from, node))[::-1], seen
            if child in tangle and child not in depth:
                came_from[child], depth[child] = node, depth[node] + 1
                queue.append(child)
    return (), seen


def _trail(came_from: dict[str, str], node: str) -> Iterator[str]:
    yield node
    while node in came_from:
        node = came_from[node]
        yield node

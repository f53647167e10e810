"""The bare shape of a graph as flat lists of numbers: built once, in linear time, for graphs of a hundred thousand nodes.

A node is its place in the DAG; the parents of node i are `parents[first_parent[i]:first_parent[i + 1]]`. One flat list for
all edges, instead of one small list a node, spares the allocations that would cost more than the algorithms do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Protocol

import networkx as nx


class HasParents(Protocol):
    """A node, as far as the shape of its graph goes."""

    @property
    def id(self) -> str:
        """Its name."""

    @property
    def parents(self) -> tuple[str, ...]:
        """The names of the nodes before it."""


@dataclass(frozen=True)
class Shape:
    """Nodes and edges by number. Build it with `shape_of`."""

    ids: tuple[str, ...]
    place: dict[str, int]
    """The number of a node's id."""
    parents: list[int]
    first_parent: list[int]
    unknown: int = 0
    """How many parents were named that are not in the graph."""

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def out_degree(self) -> list[int]:
        """How many children each node has."""
        degree = [0] * len(self.ids)
        for parent in self.parents:
            degree[parent] += 1
        return degree

    @cached_property
    def in_degree(self) -> list[int]:
        """How many parents each node has."""
        first = self.first_parent
        return [end - start for start, end in pairwise(first)]

    @cached_property
    def first_child(self) -> list[int]:
        """Where the children of each node start in `children`."""
        return [0, *accumulate(self.out_degree)]

    @cached_property
    def children(self) -> list[int]:
        """The children of all nodes, one node's after another's."""
        free, out = self.first_child[:-1], [0] * len(self.parents)
        first, parents = self.first_parent, self.parents
        for node in range(len(self.ids)):
            for parent in parents[first[node] : first[node + 1]]:
                out[free[parent]] = node
                free[parent] += 1
        return out

    @cached_property
    def order(self) -> Sequence[int]:
        """The nodes so that every parent comes before its children; nodes on or behind a cycle are absent."""
        if self._drawn_in_order():
            return range(len(self.ids))
        waiting, children, first = self.in_degree.copy(), self.children, self.first_child
        order = [node for node, count in enumerate(waiting) if not count]
        for node in order:  # the list is the queue of this walk: it grows meanwhile
            for child in children[first[node] : first[node + 1]]:
                waiting[child] -= 1
                if not waiting[child]:
                    order.append(child)
        return order

    @property
    def acyclic(self) -> bool:
        """Whether the graph can run to its end at all."""
        return len(self.order) == len(self.ids)

    @cached_property
    def level(self) -> list[int]:
        """The number of edges on the longest way from a root to each node."""
        level, parents, first = [0] * len(self.ids), self.parents, self.first_parent
        for node in self.order:
            above = parents[first[node] : first[node + 1]]
            if above:
                level[node] = 1 + max([level[parent] for parent in above])
        return level

    @cached_property
    def graph(self) -> nx.DiGraph[str]:
        """The same as a networkx graph, for everything that needn't be done in every plan."""
        graph: nx.DiGraph[str] = nx.DiGraph()
        graph.add_nodes_from(self.ids)
        first, ids = self.first_parent, self.ids
        for node, name in enumerate(ids):
            graph.add_edges_from((ids[parent], name) for parent in self.parents[first[node] : first[node + 1]])
        return graph

    def parents_of(self, node: int) -> list[int]:
        """The parents of one node."""
        return self.parents[self.first_parent[node] : self.first_parent[node + 1]]

    def children_of(self, node: int) -> list[int]:
        """The children of one node."""
        return self.children[self.first_child[node] : self.first_child[node + 1]]

    def _drawn_in_order(self) -> bool:
        first, parents = self.first_parent, self.parents
        return all(max(parents[first[node] : first[node + 1]], default=-1) < node for node in range(len(self.ids)))


def shape_of(nodes: Sequence[HasParents]) -> Shape:
    """The shape of a list of nodes. Parents that are not among them are left out: `dag_check` names them."""
    ids = tuple([node.id for node in nodes])
    place = {name: number for number, name in enumerate(ids)}
    parents: list[int] = []
    first, named = [0], 0
    for node in nodes:
        above = node.parents
        if above:
            named += len(above)
            parents.extend([place[name] for name in above if name in place])
        first.append(len(parents))
    return Shape(ids, place, parents, first, named - len(parents))

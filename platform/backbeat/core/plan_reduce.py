"""Leaving out of a drawing the edges that follow from others: the transitive reduction."""

from __future__ import annotations

from backbeat.core.dag_shape import Shape

DRAWABLE = 25_000
"""Nodes above which nothing is left out: what each node reaches takes a bit for every other node, 80 MB at this size."""

Edge = tuple[str, str]


def reduction(shape: Shape) -> list[Edge]:
    """The fewest edges that say the same, parents before children. Graphs above DRAWABLE keep all their edges."""
    if len(shape) > DRAWABLE:
        return all_edges(shape)
    rank = [0] * len(shape)
    for position, node in enumerate(shape.order):
        rank[node] = position
    reach = [0] * len(shape)
    kept: list[Edge] = []
    for node in reversed(shape.order):
        mask = 0
        # The nearest child in topological order can't be reached through a later one, so it is kept first.
        for child in sorted(shape.children_of(node), key=rank.__getitem__):
            if not mask >> rank[child] & 1:
                kept.append((shape.ids[node], shape.ids[child]))
                mask |= reach[child] | 1 << rank[child]
        reach[node] = mask
    return kept[::-1]


def all_edges(shape: Shape) -> list[Edge]:
    """Every edge, as pairs of ids."""
    return [(shape.ids[parent], name) for node, name in enumerate(shape.ids) for parent in shape.parents_of(node)]

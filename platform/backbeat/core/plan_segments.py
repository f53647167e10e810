"""Which stretches of a graph may travel as Celery canvas, and why the other edges may not.

A chain is a stretch without forks; a chord is nodes that start together and end in one join that waits for nothing else.
Both stay short and are never nested: the whole rest of a chain rides in each of its messages, and a chord inside a chord
can stay pending for ever. Only nodes of one policy go together, because canvas knows one fate for all of them.

Canvas only carries messages: a node's state, and whether its children run, is decided by the ledger. So what may travel
need not, and which do is a question of what is faster (docs/decisions/012-where-canvas-pays.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from backbeat.core.dag import Dag, Engine, Node, Rule

LONGEST = 20
"""Nodes in one segment, at most."""
WORTHWHILE = 5
"""Nodes from which on a chain is sent as canvas unless a DAG says otherwise."""


class Kind(StrEnum):
    """What a segment becomes."""

    CHAIN = "chain"
    CHORD = "chord"


class Why(StrEnum):
    """Why an edge is released by the ledger."""

    MAPPED = "how many items there are is known only at run time"
    CHOICE = "a choice decides at run time whether the child runs"
    RULE = "the child's trigger rule looks at failures too, which canvas can't"
    POLICY = "retry, timeout, pool or priority of the two nodes differ"
    JOIN = "the child's parents don't start together, so a chord would wait for more than the graph does"
    FORK = "the parent has other children that don't end in the same join"
    WIDE = "the fan is wider than a chord may be"
    LONG = "the chain was cut at its greatest length"
    BORDER = "one of the two nodes already travels in another segment"
    TOLD = "this DAG is told to leave canvas alone (engine: ledger)"
    DIRECT = "the queues lie on the ledger's own Redis, so the script that ends a node sends the next message itself"
    SLOWER = "a chord counts its parts by itself besides the ledger, which costs more than it saves"
    SHORT = f"sending a chain of fewer than {WORTHWHILE} nodes takes longer than it saves"
    ALONE = "whoever ends one of these quick nodes goes on with the next one, without any message"


@dataclass(frozen=True, slots=True)
class Segment:
    """Nodes that are sent as one canvas, in order; the last node of a chord is its body."""

    kind: Kind
    nodes: tuple[str, ...]

    @property
    def reason(self) -> str:
        """Why these nodes may go together."""
        if self.kind is Kind.CHAIN:
            return f"{len(self.nodes)} nodes in a row without forks or joins between, of one policy"
        return f"{len(self.nodes) - 1} nodes start together and end in {self.nodes[-1]!r} alone, all of one policy"


def why_not_sent(segment: Segment, engine: Engine, *, direct: bool, goes_on: Callable[[str], bool]) -> Why | None:
    """Why the ledger carries a segment that canvas could carry; None when canvas does.

    `direct` tells that the broker's queues are lists on the ledger's own server, `goes_on` of a node that it needs no message.
    """
    if engine is Engine.CANVAS:
        return None
    if engine is Engine.LEDGER:
        return Why.TOLD
    if direct:
        return Why.DIRECT
    if segment.kind is Kind.CHORD:
        return Why.SLOWER
    if len(segment.nodes) < WORTHWHILE:
        return Why.SHORT
    return Why.ALONE if any(map(goes_on, segment.nodes)) else None


def segments_of(dag: Dag, longest: int = LONGEST) -> Iterator[Segment]:
    """The segments of an acyclic DAG. No node is in two of them."""
    plain = _plain(dag)
    taken = [False] * len(dag.nodes)
    yield from _chords(dag, plain, taken, longest)
    yield from _chains(dag, plain, taken, longest)


def why_ledger(dag: Dag, parent: str, child: str, segment_of: dict[str, Segment], longest: int = LONGEST) -> Why:
    """Why this edge, which lies in no segment, is released by the ledger."""
    above, below, shape = dag.by_id[parent], dag.by_id[child], dag.shape
    if above.over is not None or below.over is not None:
        return Why.MAPPED
    if above.cases is not None or below.cases is not None:
        return Why.CHOICE
    if Rule.ALL_SUCCESS is not below.rule or Rule.ALL_SUCCESS is not above.rule:
        return Why.RULE
    fans = shape.in_degree[shape.place[child]], shape.out_degree[shape.place[parent]]
    if fans == (1, 1):
        if above.policy != below.policy:
            return Why.POLICY
        segment = segment_of.get(parent)
        return Why.LONG if segment is not None and segment.kind is Kind.CHAIN and len(segment.nodes) >= longest else Why.BORDER
    if fans[0] > 1 and _starts_together(dag, shape.place[child]):
        if fans[0] >= longest:
            return Why.WIDE
        same = all(dag.nodes[place].policy == below.policy for place in shape.parents_of(shape.place[child]))
        return Why.BORDER if same else Why.POLICY
    return Why.JOIN if fans[0] > 1 else Why.FORK


def _plain(dag: Dag) -> list[bool]:
    """The nodes that canvas could carry at all: not mapped, not choosing or chosen, and run when all parents succeed."""
    plain = [node.over is None and node.cases is None and node.rule is Rule.ALL_SUCCESS for node in dag.nodes]
    for node in dag.nodes:
        for children in (node.cases or {}).values():
            for child in children:
                plain[dag.shape.place[child]] = False
    return plain


def _chords(dag: Dag, plain: list[bool], taken: list[bool], longest: int) -> Iterator[Segment]:
    shape, nodes = dag.shape, dag.nodes
    single = [degree == 1 for degree in shape.out_degree]
    first, parents = shape.first_parent, shape.parents
    for join, count in enumerate(shape.in_degree):
        if not 1 < count < longest or not plain[join]:
            continue
        header = parents[first[join] : first[join + 1]]
        if not all(single[node] and plain[node] and not taken[node] for node in header):
            continue
        if taken[join] or not _starts_together(dag, join) or not _one_policy(nodes, [*header, join]):
            continue
        for node in (*header, join):
            taken[node] = True
        yield Segment(Kind.CHORD, tuple(shape.ids[node] for node in (*header, join)))


def _chains(dag: Dag, plain: list[bool], taken: list[bool], longest: int) -> Iterator[Segment]:
    shape, nodes = dag.shape, dag.nodes
    children, first, one_parent = shape.children, shape.first_child, [degree == 1 for degree in shape.in_degree]
    follows = [-1] * len(nodes)
    for node, degree in enumerate(shape.out_degree):
        if degree == 1 and plain[node] and not taken[node]:
            child = children[first[node]]
            if one_parent[child] and plain[child] and not taken[child] and nodes[node].policy == nodes[child].policy:
                follows[node] = child
    followed = set(follows)
    for start, child in enumerate(follows):
        if child >= 0 and start not in followed:
            yield from _cut(dag, start, follows, longest)


def _cut(dag: Dag, node: int, follows: list[int], longest: int) -> Iterator[Segment]:
    """One stretch, in pieces of at most `longest` nodes; a last piece of one node is left to the ledger."""
    piece: list[str] = []
    while node >= 0:
        piece.append(dag.shape.ids[node])
        node = follows[node]
        if len(piece) == longest or (node < 0 and len(piece) > 1):
            yield Segment(Kind.CHAIN, tuple(piece))
            piece = []


def _starts_together(dag: Dag, join: int) -> bool:
    """Whether all parents of a node have no other child, and wait for the very same nodes."""
    shape = dag.shape
    header = shape.parents_of(join)
    above = set(shape.parents_of(header[0]))
    return all(shape.out_degree[node] == 1 and set(shape.parents_of(node)) == above for node in header)


def _one_policy(nodes: tuple[Node, ...], places: list[int]) -> bool:
    policy = nodes[places[0]].policy
    return all(nodes[place].policy == policy for place in places)

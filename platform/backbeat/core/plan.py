"""The plan of a DAG: when its nodes could run, which of them set the pace, and what travels together as Celery canvas.

Everything here is linear in nodes and edges; what costs more (a drawing's reduction, a decomposition) has a module of its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import networkx as nx

from backbeat.core.dag import Dag, Node
from backbeat.core.dag_check import validated
from backbeat.core.dag_shape import Shape
from backbeat.core.plan_segments import LONGEST, Segment, Why, segments_of, why_not_sent

UNKNOWN_SECONDS = 1.0
"""What a node counts when nothing in its DAG was ever measured: then the critical path is the longest one."""


@dataclass(frozen=True)
class Plan:
    """What follows from a DAG and the seconds its nodes take. Lists run parallel to `dag.nodes`."""

    dag: Dag
    seconds: list[float]
    """Expected length of each node."""
    finish: list[float]
    """Earliest end of each node, from the start of the DAG run, with workers enough."""
    tail: list[float]
    """From a node's start to the end of the longest way behind it: the larger, the more urgent."""
    segments: tuple[Segment, ...]
    """Stretches that are sent as chain or chord; every edge that lies in none is released by the ledger."""
    spared: Mapping[Segment, Why] = field(default_factory=dict)
    """Stretches that canvas could carry, and why the ledger does."""

    @property
    def shape(self) -> Shape:
        """The graph's edges, as numbers."""
        return self.dag.shape

    @property
    def graph(self) -> nx.DiGraph[str]:
        """The graph as networkx knows it."""
        return self.dag.shape.graph

    @cached_property
    def critical_seconds(self) -> float:
        """No run can be shorter than this."""
        return max(self.finish, default=0.0)

    @cached_property
    def critical_path(self) -> tuple[str, ...]:
        """The nodes that set the pace, first to last."""
        node = max(range(len(self.finish)), key=self.finish.__getitem__)
        path = [node]
        while above := self.shape.parents_of(node):
            node = max(above, key=self.finish.__getitem__)
            path.append(node)
        return tuple(self.shape.ids[node] for node in reversed(path))

    @cached_property
    def slack(self) -> list[float]:
        """How many seconds later each node could start without delaying the whole."""
        whole = self.critical_seconds
        return [
            max(0.0, whole - (end - took) - tail) for end, took, tail in zip(self.finish, self.seconds, self.tail, strict=True)
        ]  # fmt: skip

    @cached_property
    def levels(self) -> tuple[tuple[str, ...], ...]:
        """The nodes by the length of the longest way to them; those of one level can run side by side."""
        levels: list[list[str]] = [[] for _ in range(max(self.shape.level, default=-1) + 1)]
        for name, level in zip(self.shape.ids, self.shape.level, strict=True):
            levels[level].append(name)
        return tuple(map(tuple, levels))

    @property
    def width(self) -> int:
        """Nodes of the fullest level."""
        return max(map(len, self.levels), default=0)

    @cached_property
    def segment_of(self) -> dict[str, Segment]:
        """The segment that a node belongs to, for those that belong to one."""
        return {node: segment for segment in self.segments for node in segment.nodes}

    @cached_property
    def spared_of(self) -> dict[str, Segment]:
        """The stretch that a node belongs to which canvas could carry, and the ledger does."""
        return {node: segment for segment in self.spared for node in segment.nodes}

    def seconds_of(self, node: str) -> float:
        """Expected length of one node."""
        return self.seconds[self.shape.place[node]]

    def descendants(self, nodes: Sequence[str]) -> frozenset[str]:
        """Everything behind these nodes: what "clear with descendants" clears besides them."""
        return frozenset().union(*(nx.descendants(self.graph, node) for node in nodes)) - frozenset(nodes)

    def ancestors(self, nodes: Sequence[str]) -> frozenset[str]:
        """Everything that these nodes need."""
        return frozenset().union(*(nx.ancestors(self.graph, node) for node in nodes)) - frozenset(nodes)


def _none(_node: Node) -> bool:
    return False


def plan(
    dag: Dag,
    durations: Mapping[str, float] | None = None,
    *,
    longest: int = LONGEST,
    direct: bool = False,
    goes_on: Callable[[Node], bool] = _none,
) -> Plan:
    """The plan of a DAG. `durations` are measured seconds by node id; nodes without one count their estimate, else the
    mean of their job's other nodes, else of all. `direct` tells that the broker's queues are lists on the ledger's own
    server, `goes_on` of a node that a worker goes on with it without a message. Raises GraphError when the DAG can't run.
    """
    validated(dag)
    shape, seconds = dag.shape, _seconds(dag.nodes, durations or {})
    finish = _longest(shape.order, seconds, shape.parents, shape.first_parent)
    tail = _longest(shape.order[::-1], seconds, shape.children, shape.first_child)
    sound = tuple(segments_of(dag, longest))
    alone = lambda node: goes_on(dag.by_id[node])  # noqa: E731 - a name for what is handed on
    spared = {segment: why for segment in sound if (why := why_not_sent(segment, dag.engine, direct=direct, goes_on=alone))}
    return Plan(dag, seconds, finish, tail, tuple(segment for segment in sound if segment not in spared), spared)


def _longest(order: Sequence[int], seconds: list[float], before: list[int], first: list[int]) -> list[float]:
    """For each node its own length and the longest way on the side that `before` lists."""
    total = seconds.copy()
    for node in order:
        near = before[first[node] : first[node + 1]]
        if near:
            total[node] += max([total[other] for other in near])
    return total


def _seconds(nodes: Sequence[Node], durations: Mapping[str, float]) -> list[float]:
    known = [durations.get(node.id, node.estimate) for node in nodes] if durations else [node.estimate for node in nodes]
    if None not in known:
        return [took for took in known if took is not None]
    by_job: defaultdict[str, list[float]] = defaultdict(list)
    for node, took in zip(nodes, known, strict=True):
        if took is not None:
            by_job[node.job].append(took)
    if not by_job:
        return [UNKNOWN_SECONDS] * len(nodes)
    everything = [took for times in by_job.values() for took in times]
    overall = sum(everything) / len(everything)
    mean = {job: sum(times) / len(times) for job, times in by_job.items()}
    return [mean.get(node.job, overall) if took is None else took for node, took in zip(nodes, known, strict=True)]

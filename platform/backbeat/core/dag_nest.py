"""A DAG inside a DAG: a node whose job is the name of another graph stands for that graph's nodes.

They take the node's id as a prefix (`load.fetch`), its arguments as their parameters, and wait for what the node waits for.
Who waits for the node waits for all of them; its output is that of the inner graph's only last node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from backbeat.core.dag import Dag, Node, Param, Ref, Rule, bound
from backbeat.core.dag_check import Limits
from backbeat.errors import BadArguments, GraphError

GraphOf = Callable[[str], Dag | None]
_REFUSED = {"over": "map", "max_parallel": "max_parallel", "cases": "choose", "timeout": "timeout", "estimate": "estimate"}
"""Options of a node that an inner graph has no use for, by the word for it in data."""


def inner_names(dag: Dag, graph_of: GraphOf) -> frozenset[str]:
    """The graphs that stand directly in this one."""
    return frozenset(name for name in {node.job for node in dag.nodes} if graph_of(name) is not None)


def unfolded(dag: Dag, graph_of: GraphOf) -> Dag:
    """The graph as it runs: the nodes of inner graphs in place of those that name them. `graph_of` knows graphs by name.

    Raises GraphError with everything that is wrong with how they fit together.
    """
    if not inner_names(dag, graph_of):
        return dag
    unfolding = _Unfolding(graph_of)
    nodes = unfolding.nodes_of(dag, (dag.name,))
    if unfolding.problems:
        raise GraphError(dag.name, unfolding.problems)
    return replace(dag, nodes=nodes)


@dataclass(frozen=True, slots=True)
class _Inner:
    """What an inner graph becomes where it stands. `nodes` have their own names still."""

    graph: Dag
    nodes: tuple[Node, ...]
    given: Mapping[str, Any]
    roots: tuple[str, ...]
    leaves: tuple[str, ...]


class _Unfolding:
    def __init__(self, graph_of: GraphOf) -> None:
        self.problems: list[str] = []
        self._graph_of = graph_of
        self._count = 0

    def nodes_of(self, dag: Dag, path: tuple[str, ...]) -> tuple[Node, ...]:
        """The nodes of a graph with those of its inner ones. `path` are the graphs around them."""
        inner = {node.id: found for node in dag.nodes if (found := self._inner(node, path))}
        if not inner:
            return dag.nodes
        ends = _Ends(inner, self.problems)
        return tuple(one for node in dag.nodes for one in (ends.embedded(node) if node.id in inner else [ends.outside(node)]))

    def _inner(self, node: Node, path: tuple[str, ...]) -> _Inner | None:
        graph = self._graph_of(node.job)
        if graph is None:
            return None
        if graph.name in path:
            self.problems.append(f"node {node.id!r}: DAG {graph.name!r} would hold itself: {' → '.join((*path, graph.name))}.")
            return None
        self._count += len(graph.nodes)
        if self._count > Limits().nodes:
            self.problems.append(f"node {node.id!r}: with its inner DAGs it has more than {Limits().nodes:,} nodes.")
            return None
        for field, word in _REFUSED.items():
            if getattr(node, field) is not None:
                self.problems.append(f"node {node.id!r}: {word!r} is for jobs; set it on nodes of DAG {graph.name!r}.")
        try:
            given = bound(graph, node.args, node.kwargs)
        except BadArguments as error:
            self.problems.append(f"node {node.id!r}: {error.sentence}")
            return None
        nodes = self.nodes_of(graph, (*path, graph.name))
        waited_for = {parent for one in nodes for parent in one.parents}
        roots = tuple(f"{node.id}.{one.id}" for one in nodes if not one.parents)
        leaves = tuple(f"{node.id}.{one.id}" for one in nodes if one.id not in waited_for)
        return _Inner(graph, nodes, given, roots, leaves)


class _Ends:
    """Puts the first and last nodes of inner graphs where the nodes that name them were referred to."""

    def __init__(self, inner: Mapping[str, _Inner], problems: list[str]) -> None:
        self._inner = inner
        self._problems = problems

    def outside(self, node: Node) -> Node:
        """A node of the outer graph."""
        changed = self._values(node, lambda ref: self._output(node, ref), lambda param: param)
        if node.cases is not None:
            cases = {case: tuple(self._each(children, "roots")) for case, children in node.cases.items()}
            changed = changed._replace(cases=cases)
        return changed._replace(after=tuple(self._each(node.after, "leaves")))

    def embedded(self, node: Node) -> Iterator[Node]:
        """The nodes of the inner graph that this node names."""
        inner, prefix = self._inner[node.id], f"{node.id}."
        outer = lambda ref: self._output(node, ref)  # noqa: E731 - a name for what is handed on
        given = {name: _changed(value, outer, lambda param: param) for name, value in inner.given.items()}
        after = tuple(self._each(node.after, "leaves"))
        for one in inner.nodes:
            moved = self._values(one, lambda ref: Ref(prefix + ref.node, ref.path), lambda param: given[param.name])
            moved = moved._replace(
                id=prefix + one.id, after=tuple(prefix + name for name in one.after), **_inherited(one, node, inner)
            )
            if one.cases is not None:
                moved = moved._replace(
                    cases={case: tuple(prefix + child for child in names) for case, names in one.cases.items()}
                )
            if not one.parents:
                rule = one.rule if node.rule is Rule.ALL_SUCCESS else node.rule
                moved = moved._replace(after=after, rule=rule)
            yield moved

    def _values(self, node: Node, of_ref: Callable[[Ref], Any], of_param: Callable[[Param], Any]) -> Node:
        over = _changed(node.over, of_ref, of_param)
        if node.over is not None and not isinstance(over, (list, tuple, Ref, Param)):
            self._problems.append(f"node {node.id!r} maps over a list; got {over!r:.80}.")
            over = ()
        return node._replace(
            args=tuple(_changed(value, of_ref, of_param) for value in node.args),
            kwargs={name: _changed(value, of_ref, of_param) for name, value in node.kwargs.items()},
            over=tuple(over) if isinstance(over, list) else over,
        )

    def _each(self, names: tuple[str, ...], ends: str) -> Iterator[str]:
        for name in names:
            yield from getattr(self._inner[name], ends) if name in self._inner else (name,)

    def _output(self, node: Node, ref: Ref) -> Ref:
        inner = self._inner.get(ref.node)
        if inner is None:
            return ref
        if len(inner.leaves) != 1:
            shown = ", ".join(inner.leaves[:5])
            text = f"DAG {inner.graph.name!r} ends in {len(inner.leaves)} nodes, so {ref.node!r} has no one output."
            self._problems.append(f"node {node.id!r}: {text} Name one of them: {shown}.")
            return ref
        return Ref(inner.leaves[0], ref.path)


def _inherited(one: Node, node: Node, inner: _Inner) -> dict[str, Any]:
    """What a node of an inner graph has unless it says otherwise: of the node that names the graph, else of the graph."""
    found: dict[str, Any] = {"group": ".".join(filter(None, (node.group, node.id, one.group)))}
    for name in ("pool", "priority", "retry"):
        values = (getattr(told, name) for told in (one, node, inner.graph))
        found[name] = next((value for value in values if value is not None), None)
    return found


def _changed(value: Any, of_ref: Callable[[Ref], Any], of_param: Callable[[Param], Any]) -> Any:
    if isinstance(value, Ref):
        return of_ref(value)
    if isinstance(value, Param):
        return of_param(value)
    if isinstance(value, (list, tuple)):
        return [_changed(item, of_ref, of_param) for item in value]
    if isinstance(value, Mapping):
        return {key: _changed(item, of_ref, of_param) for key, item in value.items()}
    return value

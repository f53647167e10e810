"""Everything that can be wrong with a DAG, found in one go and told in sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

import networkx as nx

from backbeat.core.dag import MAX_ITEMS, SCALARS, Dag, Node, Param, Rule, laters
from backbeat.core.dag_cycles import cycles
from backbeat.core.dag_params import odd_types
from backbeat.core.job import NAME
from backbeat.core.priority import priority_of, queue_of
from backbeat.errors import DefinitionError, GraphError, nearest

SHOWN = 10
"""How many problems of one kind are told one by one; the rest is counted."""


_FIRST_OPTION = Node._fields.index("over")
_NO_OPTIONS = Node("", "")[_FIRST_OPTION:]


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes above which a DAG is refused: each guards against a script that would hold Redis for too long."""

    nodes: int = 100_000
    edges: int = 1_000_000
    fan: int = 20_000
    """Parents or children of one node."""
    items: int = MAX_ITEMS


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong (or, with `warning`, only odd), in which nodes."""

    code: str
    sentence: str
    nodes: tuple[str, ...] = ()
    warning: bool = False


@dataclass
class _Case:
    dag: Dag
    jobs: Collection[str] | None
    limits: Limits
    ids: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        self.ids = frozenset(self.dag.by_id)


def check(dag: Dag, jobs: Collection[str] | None = None, limits: Limits | None = None) -> list[Problem]:
    """All problems of a DAG, errors first. `jobs` are the names that exist; None leaves them unchecked."""
    return errors(dag, jobs, limits) or list(_warnings(dag))


def validated(dag: Dag, jobs: Collection[str] | None = None, limits: Limits | None = None) -> Dag:
    """The DAG itself, when it can run. Raises GraphError that tells all errors at once."""
    wrong = [problem.sentence for problem in errors(dag, jobs, limits)]
    if wrong:
        raise GraphError(dag.name, wrong)
    return dag


def errors(dag: Dag, jobs: Collection[str] | None = None, limits: Limits | None = None) -> list[Problem]:
    """What must be mended before the DAG can run."""
    case = _Case(dag, jobs, limits or Limits())
    return list(_folded([*_names(case), *_each_node(case), *_sizes(case), *_cycles(case)]))


def _names(case: _Case) -> Iterator[Problem]:
    if not NAME.match(case.dag.name):
        yield Problem("name", f"expected a name of letters, digits, '_', '-' and '.', at most 150; got {case.dag.name!r}.")
    if not case.dag.nodes:
        yield Problem("empty", "the DAG has no nodes. Call at least one job inside it.")
    counts = Counter(node.id for node in case.dag.nodes)
    for sentence in odd_types(case.dag.types, case.dag.required, case.dag.params):
        yield Problem("types", sentence)
    for name, count in counts.items():
        if count > 1:
            yield Problem("duplicate", f"{count} nodes have the id {name!r}; ids must differ. Use .set(id=…).", (name,))


def _each_node(case: _Case) -> Iterator[Problem]:
    sound = case.dag.shape.acyclic and not case.dag.shape.unknown
    for node in case.dag.nodes:
        if not NAME.match(node.id):
            yield Problem("id", f"node id {node.id!r}: expected letters, digits, '_', '-' and '.', at most 150.", (node.id,))
        if not sound:
            yield from _edges(case, node)
        if case.jobs is not None and node.job not in case.jobs:
            yield Problem("job", f"node {node.id!r}: no job {node.job!r}.{nearest(node.job, case.jobs)}", (node.id,))
        if node.args or node.kwargs or node.over is not None:
            yield from _parameters(case, node)
        # Most nodes are plain; what follows is for the few that set something.
        if node[_FIRST_OPTION:] != _NO_OPTIONS:
            yield from _options(case, node)


def _edges(case: _Case, node: Node) -> Iterator[Problem]:
    for parent in node.parents:
        if parent == node.id:
            yield Problem("self-edge", f"node {node.id!r} waits for itself.", (node.id,))
        elif parent not in case.ids:
            hint = nearest(parent, case.ids) if len(case.ids) < 5000 else ""
            yield Problem("parent", f"node {node.id!r} waits for {parent!r}, which is not in the DAG.{hint}", (node.id,))


def _parameters(case: _Case, node: Node) -> Iterator[Problem]:
    known = case.dag.parameters
    for value in (node.over, *node.args, *node.kwargs.values()):
        for later in laters(value) if type(value) not in SCALARS else ():
            if isinstance(later, Param) and later.name not in known:
                hint = nearest(later.name, known)
                yield Problem("param", f"node {node.id!r}: the DAG has no parameter {later.name!r}.{hint}", (node.id,))


def _options(case: _Case, node: Node) -> Iterator[Problem]:
    if node.rule in (Rule.ANY_FAILED, Rule.ANY_SUCCESS) and not node.parents:
        yield Problem("rule", f"node {node.id!r}: rule {node.rule} needs a parent; without one it never runs.", (node.id,))
    if node.over is not None or node.max_parallel is not None:
        yield from _map(case, node)
    if node.cases is not None:
        yield from _choice(case, node)
    yield from _overrides(node)


def _map(case: _Case, node: Node) -> Iterator[Problem]:
    if node.max_parallel is not None and node.max_parallel < 1:
        yield Problem("map", f"node {node.id!r}: expected max_parallel of 1 or more; got {node.max_parallel}.", (node.id,))
    if node.over is None:
        yield Problem("map", f"node {node.id!r}: max_parallel is for mapped nodes; this one maps over nothing.", (node.id,))
    elif isinstance(node.over, tuple) and len(node.over) > case.limits.items:
        text = f"node {node.id!r}: maps over {len(node.over):,} items; at most {case.limits.items:,}. Map over batches."
        yield Problem("map", text, (node.id,))


def _choice(case: _Case, node: Node) -> Iterator[Problem]:
    for child in sorted({child for children in (node.cases or {}).values() for child in children}):
        below = case.dag.by_id.get(child)
        if below is None:
            yield Problem(
                "choose", f"node {node.id!r} chooses {child!r}, which is not in the DAG.{nearest(child, case.ids)}", (node.id,)
            )
        elif node.id not in below.parents:
            yield Problem("choose", f"node {node.id!r} chooses {child!r}, which does not wait for it.", (node.id, child))
        elif below.rule in (Rule.ANY_FAILED, Rule.ANY_SUCCESS):
            text = f"node {child!r}: rule {below.rule} could start it before {node.id!r} has chosen. Use none_failed or all_done."
            yield Problem("choose", text, (node.id, child))


def _overrides(node: Node) -> Iterator[Problem]:
    try:
        priority_of(node.priority if node.priority is not None else 5)
        queue_of(node.pool or "default", 5)
    except DefinitionError as error:
        yield Problem(error.field, f"node {node.id!r}: {error.sentence}", (node.id,))
    if node.timeout is not None and node.timeout <= 0:
        yield Problem("timeout", f"node {node.id!r}: expected a timeout above zero; got {node.timeout}.", (node.id,))


def _sizes(case: _Case) -> Iterator[Problem]:
    shape, limits = case.dag.shape, case.limits
    for what, size, most in (("nodes", len(shape), limits.nodes), ("edges", len(shape.parents), limits.edges)):
        if size > most:
            yield Problem("size", f"the DAG has {size:,} {what}; at most {most:,}. Split it, or map over a list.")
    for what, degrees in (("parents", shape.in_degree), ("children", shape.out_degree)):
        if max(degrees, default=0) > limits.fan:
            widest = shape.ids[max(range(len(degrees)), key=degrees.__getitem__)]
            yield Problem("fan", f"node {widest!r} has {max(degrees):,} {what}; at most {limits.fan:,}.", (widest,))


def _cycles(case: _Case) -> Iterator[Problem]:
    if case.dag.shape.acyclic:
        return
    for cycle in cycles(case.dag.shape.graph):
        kind = "a shortest cycle" if cycle.shortest else "a cycle"
        tangle = f" ({cycle.tangle} nodes are tangled here)" if cycle.tangle > len(cycle.nodes) else ""
        yield Problem("cycle", f"the nodes wait for each other in a circle, {kind}: {cycle}{tangle}.", cycle.nodes)


def _warnings(dag: Dag) -> Iterator[Problem]:
    shape = dag.shape
    alone = [
        shape.ids[n]
        for n, (above, below) in enumerate(zip(shape.in_degree, shape.out_degree, strict=True))
        if not above and not below
    ]
    if alone and len(shape) > 1:
        text = f"{len(alone)} of {len(shape)} nodes have no edge: {', '.join(alone[:SHOWN])}{'…' if len(alone) > SHOWN else ''}."
        yield Problem("alone", text, tuple(alone), warning=True)
    elif len(shape.parents) < len(shape) - 1 or not nx.is_weakly_connected(shape.graph):
        parts = nx.number_weakly_connected_components(shape.graph)
        yield Problem("apart", f"the DAG has {parts} parts with no edge between them.", warning=True)


def _folded(problems: list[Problem]) -> Iterator[Problem]:
    counts = Counter(problem.code for problem in problems)
    told: Counter[str] = Counter()
    for problem in problems:
        told[problem.code] += 1
        if told[problem.code] <= SHOWN:
            yield problem
        elif told[problem.code] == counts[problem.code]:
            yield Problem(problem.code, f"…and {counts[problem.code] - SHOWN} more like this ({problem.code}).")

"""A DAG as frozen data: nodes that name jobs, and values that stand for what other nodes will return.

Edges are not stored apart: a node's parents are the nodes whose output it uses, and those it was told to run after.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any, NamedTuple, NoReturn

from backbeat.core.dag_params import misfits
from backbeat.core.dag_shape import Shape, shape_of
from backbeat.core.job import Misfire, Overlap, Schedule
from backbeat.core.retry import Retry
from backbeat.errors import BadArguments, GraphError, nearest

MAX_ITEMS = 10_000
"""How many items a mapped node may have."""
OTHERWISE = "*"
"""The case of a choosing node that is taken when no other fits."""
_NOTHING: Mapping[str, Any] = {}
SCALARS = frozenset({str, int, float, bool, type(None)})


class Rule(StrEnum):
    """Which outcomes of its parents let a node run. All but the two `any_` rules wait for every parent to end."""

    ALL_SUCCESS = "all_success"
    ALL_DONE = "all_done"
    ANY_FAILED = "any_failed"
    NONE_FAILED = "none_failed"
    ANY_SUCCESS = "any_success"


class Engine(StrEnum):
    """What carries a DAG's nodes from one to the next. What a node's end means is decided by the ledger, always."""

    AUTO = "auto"
    """Celery canvas where it was measured to be faster, else the ledger's own scripts."""
    CANVAS = "canvas"
    """Celery canvas wherever it is sound."""
    LEDGER = "ledger"


class Later:
    """A value that exists only when the DAG runs, so that the function that draws the graph can't look into it."""

    __slots__ = ()

    def __bool__(self) -> NoReturn:
        raise GraphError("dag", f"{self} is known only when the DAG runs, so 'if' can't test it. Use choose(...) for a branch.")

    def __iter__(self) -> Iterator[Any]:
        raise GraphError("dag", f"{self} is known only when the DAG runs, so 'for' can't walk it. Use job.map(...) instead.")


@dataclass(frozen=True, slots=True)
class Ref(Later):
    """The output of another node, or a part of it: `Ref("load", ("rows", 0))` is `load's output["rows"][0]`."""

    node: str
    path: tuple[str | int, ...] = ()

    def __str__(self) -> str:
        return f"the output of {self.node!r}"


@dataclass(frozen=True, slots=True)
class Param(Later):
    """A parameter that is given when the DAG is started."""

    name: str

    def __str__(self) -> str:
        return f"the parameter {self.name!r}"


class Node(NamedTuple):
    """One node: a job, its arguments, and when it may run. What is None is inherited from the job or the DAG."""

    id: str
    job: str
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = _NOTHING
    after: tuple[str, ...] = ()
    group: str = ""
    estimate: float | None = None
    """Expected seconds, where somebody measured them."""
    over: Ref | Param | tuple[Any, ...] | None = None
    """Run once for each item of this list; the item is the job's first argument, the output is the list of outputs."""
    max_parallel: int | None = None
    rule: Rule = Rule.ALL_SUCCESS
    cases: Mapping[str, tuple[str, ...]] | None = None
    """Output of this node → the children that then run; its children under other cases are skipped."""
    pool: str | None = None
    priority: int | None = None
    retry: Retry | None = None
    timeout: float | None = None
    """Seconds."""

    @property
    def parents(self) -> tuple[str, ...]:
        """The nodes that this one waits for: first those whose output it uses, each once."""
        if self.over is None and not self.args and not self.kwargs:
            return self.after
        used: dict[str, None] = {}
        for value in (self.over, *self.args, *self.kwargs.values()):
            if type(value) not in SCALARS:
                used.update((later.node, None) for later in laters(value) if isinstance(later, Ref))
        return tuple(used | dict.fromkeys(self.after)) if used else self.after

    @property
    def policy(self) -> tuple[object, ...]:
        """What must be equal for two nodes to travel in one canvas segment."""
        return self.rule, self.retry, self.timeout, self.pool, self.priority


@dataclass(frozen=True)
class Dag:
    """A graph of jobs with a schedule and policies of its own. Times are seconds."""

    name: str
    nodes: tuple[Node, ...]
    params: Mapping[str, Any] = field(default_factory=dict)
    """Parameter → default value; parameters without a default are in `required`."""
    required: tuple[str, ...] = ()
    types: Mapping[str, str] = field(default_factory=dict)
    """Parameter → its type (core/dag_params.py), where no function says what it takes."""
    schedules: tuple[Schedule, ...] = ()
    pool: str | None = None
    priority: int | None = None
    """What its nodes have, unless they say otherwise; None leaves each job its own."""
    retry: Retry | None = None
    urgent_path: bool = False
    """Raise the priority of the nodes on the critical path by one."""
    timeout: float | None = None
    max_active: int = 16
    """How many runs of this DAG may be unfinished at once."""
    engine: Engine = Engine.AUTO
    overlap: Overlap = Overlap.SKIP
    misfire: Misfire = Misfire.LATEST
    start_deadline: float | None = None
    enabled: bool = True
    owner: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    description: str = ""

    @cached_property
    def by_id(self) -> dict[str, Node]:
        """The nodes by id."""
        return {node.id: node for node in self.nodes}

    @cached_property
    def shape(self) -> Shape:
        """The edges, as numbers."""
        return shape_of(self.nodes)

    @cached_property
    def version(self) -> str:
        """Hash of what a run depends on (nodes and parameters), 16 hex digits. Schedules and owners don't change it."""
        from backbeat.core.dag_data import graph_data  # here, because dag_data builds on this module

        text = json.dumps(graph_data(self), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def parameters(self) -> frozenset[str]:
        """Every parameter that a run takes."""
        return frozenset((*self.params, *self.required))


def bound(dag: Dag, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of one run by name, defaults included. Raises BadArguments with everything that does not fit."""
    names = [*dag.required, *dag.params]
    given = dict(zip(names, args, strict=False))
    wrong = [f"no parameter {name!r}.{nearest(name, names)}" for name in kwargs if name not in names]
    wrong += [f"{name!r} is given twice." for name in kwargs if name in given]
    wrong += [f"{name!r} is missing." for name in dag.required if name not in given and name not in kwargs]
    if len(args) > len(names):
        wrong.append(f"expected at most {len(names)} by position; got {len(args)}.")
    known = {**dag.params, **given, **kwargs}
    # What another node will return is known when the DAG runs; a default that was left as it is may be null.
    told = {name: value for name, value in (given | dict(kwargs)).items() if not isinstance(value, Later)}
    wrong += misfits(dag.types, {name: value for name, value in told.items() if value is not None or name in dag.required})
    if wrong:
        raise BadArguments("params", f"DAG {dag.name!r} takes {', '.join(names) or 'nothing'}: {' '.join(wrong)}")
    return known


def laters(value: Any) -> Iterator[Ref | Param]:
    """Every reference and parameter inside a value, however deep in lists and dicts."""
    if isinstance(value, (Ref, Param)):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from laters(item)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from laters(item)


def resolve(value: Any, outputs: Mapping[str, Any], params: Mapping[str, Any]) -> Any:
    """The value with every reference and parameter replaced. A node that has no output (it failed, or was skipped)
    stands as None. Raises GraphError when a part is asked of an output that lacks it.
    """
    if isinstance(value, Ref):
        return _part(value, outputs.get(value.node))
    if isinstance(value, Param):
        return params.get(value.name)
    if isinstance(value, (list, tuple)):
        return [resolve(item, outputs, params) for item in value]
    if isinstance(value, Mapping):
        return {key: resolve(item, outputs, params) for key, item in value.items()}
    return value


def _part(ref: Ref, output: Any) -> Any:
    for step in ref.path if output is not None else ():
        try:
            output = output[step]
        except (KeyError, IndexError, TypeError):
            has = f"keys {', '.join(map(str, output))[:200]}" if isinstance(output, Mapping) else f"a {type(output).__name__}"
            raise GraphError(ref.node, f"expected its output to have {step!r}; got {has}.") from None
    return output


def case_of(output: Any) -> str:
    """The text under which a choosing node's output is looked up: `True` → `true`, `3` → `3`, `"eu"` → `eu`."""
    return output if isinstance(output, str) else json.dumps(output, sort_keys=True)


def passed_over(node: Node, output: Any) -> frozenset[str]:
    """The children that a choosing node's output leaves out. An output that is a list takes several cases at once."""
    if node.cases is None:
        return frozenset()
    wanted = [case_of(item) for item in (output if isinstance(output, (list, tuple)) else [output])]
    taken = [case for case in wanted if case in node.cases]
    if not taken and OTHERWISE in node.cases:
        taken = [OTHERWISE]
    chosen = {child for case in taken for child in node.cases[case]}
    return frozenset(child for children in node.cases.values() for child in children) - chosen

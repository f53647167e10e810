"""A DAG as the ledger keeps it: one short record a node, and one letter for each node's state.

The records are shared by all runs of a version; what depends on the run (queues, messages) is kept by `kind` instead.
lua/dag.lua reads both; tests compare its table of letters with this one.
"""

from __future__ import annotations

import json
import struct
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha1
from itertools import chain
from typing import Any

from backbeat.core.dag import Dag, Node, Ref, Rule, laters, passed_over, resolve
from backbeat.core.dag_data import encode, ref_data
from backbeat.core.dag_state import End, end_of
from backbeat.core.message import arguments_of, dumps
from backbeat.core.plan import Plan
from backbeat.core.plan_segments import Kind as SegmentKind
from backbeat.core.plan_segments import Segment
from backbeat.core.retry import Retry
from backbeat.core.state import RunState

PENDING, LEFT_OUT, EXPANDING, QUEUED, CHOOSING = ".", "o", "e", "q", "h"
CODES = {
    RunState.SUCCEEDED: "s", RunState.FAILED: "f", RunState.TIMED_OUT: "t", RunState.CANCELLED: "c", RunState.SKIPPED: "k",
    RunState.UPSTREAM_FAILED: "u", RunState.EXPIRED: "x", RunState.QUARANTINED: "z",
}  # fmt: skip
_OF_CODE = {code: state for state, code in CODES.items()} | {
    PENDING: RunState.PENDING, LEFT_OUT: RunState.PENDING, EXPANDING: RunState.PENDING, QUEUED: RunState.QUEUED,
    CHOOSING: RunState.RUNNING,
}  # fmt: skip
EARLY = 32_768
"""Above every number of parents that a node may have (dag_check.Limits)."""
_SIDES = {End.GOOD: 0, End.BAD: 1, End.SKIPPED: 2}
_SIDE_OF = {code: _SIDES[end_of(state)] for state, code in CODES.items()}


def states_of(codes: str) -> list[RunState]:
    """The states of all nodes, by place."""
    return [_OF_CODE[code] for code in codes]


def ended(code: str) -> bool:
    """Whether a node with this letter is done with."""
    return code in _SIDE_OF


def ended_badly(code: str) -> bool:
    """Whether its children count it as a failure."""
    return _SIDE_OF.get(code) == _SIDES[End.BAD]


@dataclass(frozen=True, slots=True)
class Kind:
    """What the messages of some nodes have in common: their job, and what the DAG changes about it."""

    job: str
    pool: str | None = None
    priority: int | None = None
    retry: Retry | None = None
    timeout: float | None = None
    urgent: bool = False


class Wire:
    """The records of one DAG and the kinds that they point at."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.dag: Dag = plan.dag

    @cached_property
    def _kind_of(self) -> tuple[list[Kind], list[int]]:
        urgent = frozenset(self.plan.critical_path) if self.dag.urgent_path else frozenset()
        found: dict[Kind, int] = {}
        numbers = []
        for node in self.dag.nodes:
            kind = Kind(node.job, node.pool, node.priority, node.retry, node.timeout, node.id in urgent)
            numbers.append(found.setdefault(kind, len(found)))
        return list(found), numbers

    @property
    def kinds(self) -> list[Kind]:
        """The kinds, in the order of their numbers."""
        return self._kind_of[0]

    @cached_property
    def version(self) -> str:
        """The DAG's version, whether its critical path is urgent, which changes the kinds, and what travels as canvas."""
        travels = dumps([segment.nodes for segment in self.plan.segments]) if self.plan.segments else ""
        # It names, it protects nothing.
        canvas = "c" + sha1(travels.encode(), usedforsecurity=False).hexdigest()[:8] if travels else ""
        return self.dag.version + ("u" if self.dag.urgent_path else "") + canvas

    def fields(self) -> Iterator[str]:
        """Field after value of the hash that keeps the graph."""
        yield from ("#roots", dumps([place for place, count in enumerate(self.dag.shape.in_degree) if not count]))
        yield from ("#name", self.dag.name)
        for number, segment in enumerate(self.plan.segments):
            yield from (f"#seg:{number}", dumps(self._segment(segment)))
        wanted = wanted_outputs(self.dag)
        for place, node in enumerate(self.dag.nodes):
            yield from (str(place), dumps(self._record(place, node, wanted)))
            # Only processes read these two, and lists to map over may be long: Lua needn't parse them again and again.
            if node.over is not None:
                yield from (f"#over:{place}", dumps(self._encoded(node.over)))
            if node.cases is not None:
                yield from (f"#cases:{place}", dumps(self._cases(node.cases)))

    def _record(self, place: int, node: Node, wanted: frozenset[str]) -> dict[str, Any]:
        shape = self.dag.shape
        record: dict[str, Any] = {"i": node.id, "k": self._kind_of[1][place], "n": shape.in_degree[place], "r": str(node.rule)}
        record["c"] = shape.children_of(place)
        if node.args or node.kwargs:
            record["x"] = arguments_of(self._encoded(node.args), self._encoded(node.kwargs))
            if next(laters((node.args, node.kwargs)), None) is not None:
                record["f"] = 1
        if node.id in wanted:
            record["o"] = 1
        if node.cases is not None:
            record["h"] = 1
        if node.over is not None:
            # The item's value is put before what is here: it is the first argument.
            record |= {"m": 1, "y": arguments_of([], self._encoded(node.kwargs))[2:]}
        if node.max_parallel is not None:
            record["p"] = node.max_parallel
        if place in self._opens:
            record["g"] = self._opens[place]
        return record

    @cached_property
    def _opens(self) -> dict[int, int]:
        """The nodes whose release sends a segment: the first of a chain, all but the last of a chord."""
        place = self.dag.shape.place
        return {
            place[node]: number
            for number, segment in enumerate(self.plan.segments)
            for node in (segment.nodes[:1] if segment.kind is SegmentKind.CHAIN else segment.nodes[:-1])
        }

    def _segment(self, segment: Segment) -> list[Any]:
        """What to send: chain or chord, and each node's id and kind."""
        numbers, place = self._kind_of[1], self.dag.shape.place
        return [str(segment.kind), [[node, numbers[place[node]]] for node in segment.nodes]]

    def _encoded(self, value: Any) -> Any:
        """References with the node's place, so that its output is found without the graph."""

        def of_ref(ref: Ref) -> dict[str, Any]:
            mapped = {"mapped": 1} if self.dag.by_id[ref.node].over is not None else {}
            return {**ref_data(ref), "at": self.dag.shape.place[ref.node], **mapped}

        return encode(value, of_ref)

    def _cases(self, cases: Mapping[str, tuple[str, ...]]) -> dict[str, list[int]]:
        return {case: [self.dag.shape.place[child] for child in children] for case, children in cases.items()}


def wanted_outputs(dag: Dag) -> frozenset[str]:
    """The nodes whose output somebody needs: another node's arguments, or the node's own choice."""
    wanted = {node.id for node in dag.nodes if node.cases is not None}
    for node in dag.nodes:
        if node.args or node.kwargs or node.over is not None:
            values = chain(node.args, node.kwargs.values(), (node.over,))
            wanted.update(later.node for value in values for later in laters(value) if isinstance(later, Ref))
    return frozenset(wanted)


def counters(dag: Dag, codes: Sequence[str] = ()) -> bytes:
    """For every node the number of its parents that ended well, badly, skipped, and not yet, as the ledger keeps them.

    Nodes whose rule may be met before all have ended count those from EARLY, so that each end makes the ledger look.
    """
    shape, sums = dag.shape, array("H", bytes(8 * len(dag.nodes)))
    early = {Rule.ANY_FAILED, Rule.ANY_SUCCESS}
    sums[3::4] = array("H", shape.in_degree)
    for place, node in enumerate(dag.nodes):
        if node.rule in early:
            sums[4 * place + 3] += EARLY
    for place, code in enumerate(codes):
        side = _SIDE_OF.get(code)
        if side is not None:
            for child in shape.children_of(place):
                sums[4 * child + side] += 1
                sums[4 * child + 3] -= 1
    return struct.pack(f">{len(sums)}H", *sums)


def read_graph(name: str, fields: Mapping[str, str]) -> Dag:
    """The graph that `Wire` wrote, as far as its shape and rules go: jobs are the numbers of kinds, arguments are left out."""
    records = [json.loads(fields[str(place)]) for place in range(sum(key.isdigit() for key in fields))]
    parents: list[list[str]] = [[] for _ in records]
    for record in records:
        for child in record["c"]:
            parents[child].append(record["i"])
    return Dag(
        name,
        tuple(
            Node(
                record["i"], str(record["k"]), after=tuple(above), rule=Rule(record["r"]), over=() if "m" in record else None,
                cases={} if "h" in record else None, max_parallel=record.get("p"),
            )
            for record, above in zip(records, parents, strict=True)
        ),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Output:
    """Where a node's output is: its place, and whether it is the list of a mapped node's items."""

    place: int
    mapped: bool = False


def outputs_in(data: Any) -> set[Output]:
    """The outputs that arguments, as `Wire` wrote them, refer to."""
    if isinstance(data, list):
        return set().union(*map(outputs_in, data))
    if not isinstance(data, dict):
        return set()
    if "$ref" in data:
        return {Output(data["at"], bool(data.get("mapped")))}
    return set().union(*map(outputs_in, data.get("$value", data).values()))


def filled(data: Any, outputs: Mapping[int, Any], params: Mapping[str, Any]) -> Any:
    """Arguments, as `Wire` wrote them, with outputs (by place) and parameters in place. Raises GraphError."""
    if isinstance(data, list):
        return [filled(item, outputs, params) for item in data]
    if not isinstance(data, dict):
        return data
    if "$ref" in data:
        ref = Ref(data["$ref"], tuple(data.get("path", ())))
        return resolve(ref, {ref.node: outputs.get(data["at"])}, {})
    if "$param" in data:
        return params.get(data["$param"])
    return {key: filled(item, outputs, params) for key, item in data.get("$value", data).items()}


def left_out(cases: Mapping[str, Sequence[int]], output: Any) -> list[int]:
    """The places of the children that a choosing node's output leaves out."""
    node = Node("", "", cases={case: tuple(map(str, children)) for case, children in cases.items()})
    return sorted(map(int, passed_over(node, output)))


def node_label(node: str, item: int | None = None) -> str:
    """What stands behind the DAG run's id in a node's run id."""
    return node if item is None else f"{node}[{item}]"


def counts(codes: str) -> Mapping[RunState, int]:
    """How many nodes are in which state."""
    found = {_OF_CODE[code]: 0 for code in codes}
    for code in set(codes):
        found[_OF_CODE[code]] += codes.count(code)
    return found

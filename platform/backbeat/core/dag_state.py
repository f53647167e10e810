"""What becomes of a node, by its trigger rule and its parents' ends. The Lua scripts do the same sums; tests compare them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from enum import StrEnum

from backbeat.core.dag import Dag, Node, Rule
from backbeat.core.state import TERMINAL, RunState


class Verdict(StrEnum):
    """What a node that has not started does next."""

    WAIT = "wait"
    RUN = "run"
    SKIP = "skip"
    UPSTREAM_FAILED = "upstream_failed"


class End(StrEnum):
    """What a parent's state means to its children."""

    NOT_YET = "not_yet"
    GOOD = "good"
    BAD = "bad"
    SKIPPED = "skipped"


_ENDS: dict[RunState, End] = dict.fromkeys(TERMINAL, End.BAD) | {
    RunState.SUCCEEDED: End.GOOD,
    RunState.SKIPPED: End.SKIPPED,
    # A poisonous node waits for a person; what hangs on it does not.
    RunState.QUARANTINED: End.BAD,
}
_NEVER = {Verdict.SKIP: RunState.SKIPPED, Verdict.UPSTREAM_FAILED: RunState.UPSTREAM_FAILED}


def end_of(state: RunState) -> End:
    """What this state of a parent means to its children."""
    return _ENDS.get(state, End.NOT_YET)


def verdict(rule: Rule, parents: int, good: int, bad: int, skipped: int) -> Verdict:
    """What a node does whose parents have ended so. A node without parents runs, except under the `any_` rules."""
    if rule is Rule.ANY_FAILED and bad:
        return Verdict.RUN
    if rule is Rule.ANY_SUCCESS and good:
        return Verdict.RUN
    if good + bad + skipped < parents:
        return Verdict.WAIT
    if rule is Rule.ALL_DONE:
        return Verdict.RUN
    if rule is Rule.ANY_FAILED:
        return Verdict.SKIP
    if bad:
        return Verdict.UPSTREAM_FAILED
    if rule is Rule.NONE_FAILED:
        return Verdict.RUN
    return Verdict.SKIP if skipped or rule is Rule.ANY_SUCCESS else Verdict.RUN


def verdict_of(node: Node, states: Mapping[str, RunState], left_out: Collection[str] = ()) -> Verdict:
    """The same, from the parents' states. A node that a choosing parent left out is skipped once all parents ended."""
    ends = Counter(end_of(states[parent]) for parent in node.parents)
    if node.id in left_out:
        return Verdict.WAIT if ends[End.NOT_YET] else Verdict.SKIP
    return verdict(node.rule, ends.total(), ends[End.GOOD], ends[End.BAD], ends[End.SKIPPED])


def ready(dag: Dag, states: Mapping[str, RunState], left_out: Collection[str] = ()) -> list[str]:
    """The pending nodes that may be queued now, in the DAG's order."""
    return [
        node.id
        for node in dag.nodes
        if states[node.id] is RunState.PENDING and verdict_of(node, states, left_out) is Verdict.RUN
    ]  # fmt: skip


def settle(dag: Dag, states: Mapping[str, RunState], left_out: Collection[str] = ()) -> dict[str, RunState]:
    """The states after skips and failures have spread as far as they go."""
    settled = dict(states)
    for place in dag.shape.order:
        node = dag.nodes[place]
        if settled[node.id] is RunState.PENDING:
            settled[node.id] = _NEVER.get(verdict_of(node, settled, left_out), RunState.PENDING)
    return settled


def outcome(
    dag: Dag,
    result: Callable[[str], RunState] = lambda _: RunState.SUCCEEDED,
    leaves_out: Callable[[str], Iterable[str]] = lambda _: (),
) -> dict[str, RunState]:
    """The oracle: how every node ends when a node that runs ends as `result(id)`, and a choosing node that succeeds
    leaves out the children `leaves_out(id)`. Whatever order things happen in, a run must end like this.
    """
    states: dict[str, RunState] = {}
    left_out: set[str] = set()
    for place in dag.shape.order:
        node = dag.nodes[place]
        states[node.id] = _NEVER.get(verdict_of(node, states, left_out)) or result(node.id)
        if states[node.id] is RunState.SUCCEEDED:
            left_out.update(leaves_out(node.id))
    return {node.id: states[node.id] for node in dag.nodes}


def dag_end(states: Iterable[RunState]) -> RunState:
    """How a DAG run ends whose nodes ended so: it is green only when nothing in it went wrong."""
    ends = {end_of(state) for state in states}
    if End.NOT_YET in ends:
        return RunState.RUNNING
    return RunState.FAILED if End.BAD in ends else RunState.SUCCEEDED

"""A DAG run here and now, node after node in one process: for a plain call, for tests, for a first look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from backbeat.core.dag import MAX_ITEMS, Dag, Node, bound, passed_over, resolve
from backbeat.core.dag_state import Verdict, verdict_of
from backbeat.core.dag_wire import node_label
from backbeat.core.message import dumps
from backbeat.core.state import RunState
from backbeat.errors import BackbeatError, GraphError
from backbeat.runtime import context, registry


class DagFailed(BackbeatError):
    """Some nodes of a DAG that was called inline failed. `states` says how each ended, `errors` why."""

    def __init__(self, name: str, states: Mapping[str, RunState], errors: Mapping[str, BaseException]) -> None:
        self.states = dict(states)
        self.errors = dict(errors)
        told = "; ".join(f"{node}: {type(error).__name__}: {error}" for node, error in errors.items())
        super().__init__(f"DAG {name!r} failed. {told}")


def run_inline(dag: Dag, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Run every node whose turn comes, by the same rules as on workers, and return the outputs by node.

    Values pass through JSON as they do on workers, so that what works here works there. Retries and timeouts are left out.
    Raises DagFailed when a node failed, after the others had their turn; BadArguments.
    """
    one = _Inline(dag, bound(dag, args, kwargs or {}))
    for place in dag.shape.order:
        one.visit(dag.nodes[place])
    if one.errors:
        raise DagFailed(dag.name, one.states, one.errors)
    return one.outputs


class _Inline:
    def __init__(self, dag: Dag, params: Mapping[str, Any]) -> None:
        self.dag = dag
        self.params = params
        self.states: dict[str, RunState] = {}
        self.outputs: dict[str, Any] = {}
        self.errors: dict[str, BaseException] = {}
        self._left_out: set[str] = set()

    def visit(self, node: Node) -> None:
        verdict = verdict_of(node, self.states, self._left_out)
        if verdict is not Verdict.RUN:
            self.states[node.id] = RunState.SKIPPED if verdict is Verdict.SKIP else RunState.UPSTREAM_FAILED
            return
        try:
            self.outputs[node.id] = self._run(node)
            self.states[node.id] = RunState.SUCCEEDED
            self._left_out |= passed_over(node, self.outputs[node.id])
        except Exception as error:  # noqa: BLE001 - a job may raise anything; the other nodes have their turn all the same
            self.errors[node.id] = error
            self.states[node.id] = RunState.FAILED

    def _run(self, node: Node) -> Any:
        args, kwargs = self._value(node.args), self._value(node.kwargs)
        if node.over is None:
            return self._call(node, args, kwargs)
        items = items_of(self._value(node.over))
        return [self._call(node, [item, *args], kwargs, number) for number, item in enumerate(items)]

    def _value(self, value: Any) -> Any:
        return resolve(value, self.outputs, self.params)

    def _call(self, node: Node, args: Sequence[Any], kwargs: Mapping[str, Any], item: int | None = None) -> Any:
        run = context.inline_run(node.job)
        run.id = f"{run.id}/{node_label(node.id, item)}"
        with context.running(run):
            return as_json(registry.get(node.job).perform(args, kwargs))


def items_of(value: Any) -> list[Any]:
    """What a mapped node runs over; None (its parent has no output) is nothing. Raises GraphError."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise GraphError("map", f"expected a list to map over; got {value!r:.80}.")
    if len(value) > MAX_ITEMS:
        raise GraphError(
            "map", f"expected at most {MAX_ITEMS:,} items to map over; got {len(value):,}. Map over batches of them."
        )
    return value


def as_json(value: Any) -> Any:
    """An output as the nodes that need it get it. Raises GraphError for what JSON can't hold."""
    import json

    try:
        return json.loads(dumps(value))
    except (TypeError, ValueError, RecursionError) as error:
        raise GraphError("output", f"expected an output that JSON can hold; got {type(value).__name__}: {error}.") from None

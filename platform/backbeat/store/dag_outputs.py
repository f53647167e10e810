"""What the nodes of a DAG run left for each other: parameters, outputs, lists to map over."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from backbeat.core.dag_wire import Output
from backbeat.store.slots import Slots

Kept = str | list[str | None]
"""An output's text, or one text an item for a mapped node; None where an item has none."""


class DagOutputs:
    """Read side of a DAG run's data. Writing happens where a node ends (lua/dag.lua)."""

    def __init__(self, slots: Slots) -> None:
        self.slots = slots

    def graph_field(self, run_id: str, field: str) -> str | None:
        """One field of the graph that a run is pinned to."""
        keys = self.slots.of(run_id)
        version = self.slots.client.hget(keys.dag(run_id), "v")
        found = self.slots.client.hget(keys.graph(str(version)), field)
        return None if found is None else str(found)

    def params(self, run_id: str) -> str:
        """The parameters of a run, as JSON."""
        found = self.slots.client.hget(self.slots.of(run_id).dag(run_id), "params")
        return "{}" if found is None else str(found)

    def outputs(self, run_id: str, wanted: Iterable[Output]) -> dict[int, Kept]:
        """Outputs by place, as they were kept; nodes that have none are left out."""
        keys, asked = self.slots.of(run_id), list(wanted)
        pipe = self.slots.client.pipeline(transaction=False)
        for output in asked:
            if output.mapped:
                pipe.hget(keys.dag(run_id, "m"), f"{output.place}n")
                pipe.hgetall(keys.dag(run_id, "o", output.place))
            else:
                pipe.hget(keys.dag(run_id, "o"), str(output.place))
        replies = iter(pipe.execute() if asked else [])
        found: dict[int, Kept] = {}
        for output in asked:
            first = next(replies)
            items = next(replies) if output.mapped else {}
            if first is not None:
                found[output.place] = [items.get(str(item)) for item in range(int(first))] if output.mapped else str(first)
        return found

    def graph(self, run_id: str, version: str) -> dict[str, str]:
        """The whole graph of a version, field by field; empty when it is not stored (any more)."""
        found = self.slots.client.hgetall(self.slots.of(run_id).graph(version))
        return {str(name): str(value) for name, value in found.items()}

    def kinds(self, run_id: str, nodes: Sequence[tuple[str, int]]) -> list[tuple[str, str]]:
        """Nodes with the numbers of their kinds → nodes with what their messages have in common (JSON)."""
        numbers = [str(number) for _, number in nodes]
        found = self.slots.client.hmget(self.slots.of(run_id).dag(run_id, "k"), numbers)
        return [(node, str(text)) for (node, _), text in zip(nodes, found, strict=True)]

    def attempts(self, run_id: str) -> dict[str, int]:
        """Attempts by node ('3') or item ('3:7'), where there were more or fewer than one."""
        found = self.slots.client.hgetall(self.slots.of(run_id).dag(run_id, "a"))
        return {str(name): int(count) for name, count in found.items()}

    def items(self, run_id: str, place: int) -> tuple[str, int]:
        """A mapped node: one letter an item ('.' not ended), and how many items were queued so far."""
        keys = self.slots.of(run_id)
        letters = self.slots.client.get(keys.dag(run_id, "i", place))
        queued = self.slots.client.hget(keys.dag(run_id, "m"), f"{place}i")
        return ("" if letters is None else str(letters)), int(queued or 0)

    def missing(self, run_id: str, labels: Sequence[str]) -> set[str]:
        """Those of these nodes and items (`load`, `load[3]`) that have no run in the ledger."""
        keys = self.slots.of(run_id)
        pipe = self.slots.client.pipeline(transaction=False)
        for label in labels:
            pipe.exists(keys.run(f"{run_id}/{label}"))
        found = pipe.execute() if labels else []
        return {label for label, there in zip(labels, found, strict=True) if not there}

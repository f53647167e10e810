"""Taking a DAG run on where its scripts stop: bounded steps, lists to map over, choices between children."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from backbeat.core.dag_wire import Output, filled, left_out, outputs_in
from backbeat.core.message import dumps
from backbeat.errors import BackbeatError
from backbeat.runtime import canvas
from backbeat.runtime.dag_inline import items_of
from backbeat.runtime.payloads import load
from backbeat.store.store import Store

log = logging.getLogger("backbeat.worker")

Answer = tuple[str, int, Any]
ASKED = 100
"""Questions that one step asks at most (lua/dag_step.lua); so many may not be all."""


def advance(store: Store, run_id: str, rounds: int = 1000) -> int:
    """Do what a DAG run waits for, until nothing is left; returns the number of steps. Safe to call at any time, twice too."""
    answers: list[Answer] = []
    for done in range(rounds):
        more, questions = store.dags.step(run_id, answers)
        for question in questions:
            if question.startswith("s:"):
                canvas.send(store, run_id, question[2:])
        answers = [_answered(store, run_id, question) for question in questions if not question.startswith("s:")]
        if not more and not answers and len(questions) < ASKED:
            return done
    return rounds


def arguments_of_node(store: Store, fields: Mapping[str, str]) -> tuple[list[Any], dict[str, Any]]:
    """The arguments of a node's run, with the outputs and parameters that they refer to. Raises GraphError."""
    data = json.loads(fields["x"])
    if "rf" in fields:
        data = filled(data, *_facts(store, fields["d"], data))
    args, kwargs = data
    return args, kwargs


def _answered(store: Store, run_id: str, question: str) -> Answer:
    letter, place = question.split(":")
    return _chosen(store, run_id, int(place)) if letter == "c" else _expanded(store, run_id, int(place))


def _expanded(store: Store, run_id: str, place: int) -> Answer:
    """How many items a mapped node has; their values are stored before that is told."""
    try:
        data = json.loads(store.dag_data.graph_field(run_id, f"#over:{place}") or "null")
        outputs, params = _facts(store, run_id, data)
        items = items_of(filled(data, outputs, params))
    except BackbeatError as error:
        return "x", place, getattr(error, "sentence", str(error))
    store.dags.put_items(run_id, place, [dumps(item) for item in items])
    return "e", place, len(items)


def _chosen(store: Store, run_id: str, place: int) -> Answer:
    cases = json.loads(store.dag_data.graph_field(run_id, f"#cases:{place}") or "{}")
    mapped = store.dag_data.graph_field(run_id, f"#over:{place}") is not None
    try:
        output = outputs_of(store, run_id, {Output(place, mapped)}).get(place)
    except BackbeatError as error:
        log.error("DAG run %s: the output of a choice can't be read, so none of its children runs: %s", run_id, error)  # noqa: TRY400 - our own sentence says it all
        return "c", place, sorted({child for children in cases.values() for child in children})
    return "c", place, left_out(cases, output)


def _facts(store: Store, run_id: str, data: Any) -> tuple[Mapping[int, Any], Mapping[str, Any]]:
    return outputs_of(store, run_id, outputs_in(data)), json.loads(store.dag_data.params(run_id))


def outputs_of(store: Store, run_id: str, wanted: set[Output]) -> dict[int, Any]:
    """Outputs by place; nodes that have none are left out, items that have none are None. Raises GraphError."""
    found = store.dag_data.outputs(run_id, wanted)
    return {place: [_value(item) for item in kept] if isinstance(kept, list) else _value(kept) for place, kept in found.items()}


def _value(text: str | None) -> Any:
    if text is None:
        return None
    return load(text[1:]) if text.startswith("@") else json.loads(text)

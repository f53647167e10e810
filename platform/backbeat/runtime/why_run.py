"""What Redis knows of a run, for whoever asks why it does not run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from backbeat.core import why_facts as facts
from backbeat.core.dag_wire import states_of
from backbeat.core.state import RunState
from backbeat.errors import UnknownRun
from backbeat.runtime.dag_mend import graph_of
from backbeat.runtime.status import of_kind
from backbeat.store.stands import stands
from backbeat.store.store import Store
from backbeat.store.vitals import Process

_HOLDERS = 20
"""At most so many of those that have a place are looked at."""
_ENDED_WELL = (RunState.SUCCEEDED, RunState.SKIPPED)


def run_of(store: Store, run_id: str) -> facts.Run | None:
    """An unfinished run."""
    fields = store.ledger.get(run_id)
    if not fields:
        return None
    keys = store.slots.of(run_id)
    until = store.slots.client.zscore(keys.timers, run_id)
    return facts.Run(
        id=run_id,
        state=RunState(fields["s"]),
        queue=fields.get("q", ""),
        created=int(fields.get("c") or 0),
        attempt=int(fields.get("a") or 0),
        losses=int(fields.get("l") or 0),
        worker=fields.get("w", ""),
        started=int(fields["st"]) if fields.get("st") else None,
        until=int(float(until)) if until else None,
        cancelled=fields.get("cancel", ""),
        place=_place(store, run_id, fields) if "g" in fields else None,
        pace=_pace(store, run_id, fields) if "rt" in fields else None,
        line=_line(store, run_id, fields["j"])
        if fields["s"] == RunState.PENDING and "m" in fields and "g" not in fields
        else None,
    )


def _line(store: Store, run_id: str, job: str) -> facts.Line | None:
    keys = store.slots.of(run_id)
    ahead = store.slots.client.lpos(f"{keys.prefix}line:{job}", run_id)
    holder = store.slots.client.hget(keys.busy, job)
    if ahead is None or holder is None:
        return None
    state = store.ledger.get(str(holder)).get("s", "over")
    return facts.Line(str(holder), state, int(str(ahead)))


def _place(store: Store, run_id: str, fields: Mapping[str, str]) -> facts.Place:
    client, keys, gate = store.slots.client, store.slots.of(run_id), fields["g"]
    holders = [str(one) for one in client.zrange(keys.hold(gate), 0, _HOLDERS - 1)]
    states = [fields.get("s", "over") for fields in store.ledger.read(holders).values()]
    ahead = client.zrank(keys.wait(gate), run_id)
    return facts.Place(
        job=fields["j"],
        key=_key_in(gate, fields["j"]),
        most=_limits(store, run_id, fields["j"]).get("n"),
        holders=tuple(zip(holders, states, strict=True)),
        held=int(client.zcard(keys.hold(gate))),
        ahead=None if ahead is None else int(str(ahead)),
    )


def _pace(store: Store, run_id: str, fields: Mapping[str, str]) -> facts.Pace:
    rate = str(_limits(store, run_id, fields["j"]).get("rate", "so many in a time"))
    return facts.Pace(fields["j"], _key_in(fields["rg"], fields["j"]), rate, int(fields["rt"]))


def _limits(store: Store, run_id: str, job: str) -> dict[str, Any]:
    text = store.slots.client.hget(store.slots.of(run_id).limits, job)
    limits: dict[str, Any] = json.loads(text) if text else {}
    return limits


def _key_in(gate: str, job: str) -> str:
    return gate[len(job) + 1 :]


def ended(store: Store, run_id: str) -> facts.Record | None:
    """A run with a caller's key that is over and still remembered, although history does not have it (yet)."""
    state = store.slots.client.get(f"{store.slots.of(run_id).prefix}done:{run_id}")
    return facts.Record(RunState(str(state))) if state else None


def slot_of(store: Store, schedule_id: str, alive: Iterable[Process], now: int) -> facts.Slot:
    """The slot of a schedule, with its leader by a name that people know."""
    alive = of_kind(alive, "scheduler")
    one = stands(store.slots)[store.slots.of(schedule_id).slot]
    names = {process.id: process.name for process in alive}
    leader = names.get(one.leader, one.leader) if one.leader else None
    return facts.Slot(one.slot, leader, sum(not process.silent(now) for process in alive), one.events)


def node_of(store: Store, run_id: str) -> facts.Node | None:
    """What the DAG run says of one of its nodes; None for a run that is no node, or whose DAG run is forgotten."""
    dag_run, slash, label = run_id.partition("/")
    seen = store.dags.see(dag_run) if slash else None
    if seen is None:
        return None
    try:
        dag = graph_of(store, seen)
    except UnknownRun:
        return None
    place = dag.shape.place.get(label.partition("[")[0])
    if place is None:
        return None
    states = states_of(seen.codes)
    parents = [(name, states[dag.shape.place[name]]) for name in dag.nodes[place].parents]
    return facts.Node(
        dag_run=dag_run,
        node=label,
        state=states[place].value,
        rule=dag.nodes[place].rule.value,
        waits_for=tuple((name, state.value) for name, state in parents if _open(state)) if _open(states[place]) else (),
        bad=tuple((name, state.value) for name, state in parents if not _open(state) and state not in _ENDED_WELL),
        held="paused" in seen.facts,
        active=seen.active,
    )


def _open(state: RunState) -> bool:
    return state in (RunState.PENDING, RunState.QUEUED, RunState.RUNNING)

"""Seeing to DAG runs that stand still, and running parts of them again."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any

from backbeat.core.dag import Dag
from backbeat.core.dag_mend import Again, Mended, again, below, failed_nodes, mended, requeued, stuck
from backbeat.core.dag_wire import CODES, QUEUED, ended_badly, node_label, read_graph
from backbeat.core.state import RunState
from backbeat.errors import NotAllowed, UnknownRun, nearest
from backbeat.runtime.dag_advance import advance
from backbeat.store.dag_ledger import Rewrite, Seen
from backbeat.store.store import Store

log = logging.getLogger("backbeat.keeper")

TRIES = 20
"""How often a rewrite is worked out anew because some node moved meanwhile."""


def mend(store: Store, run_id: str, began_by: float = float("inf")) -> bool:
    """Set a DAG run going again that waits for nothing: a script broke off, or runs were lost with a server's last second.

    True when something was mended. What is in order is left alone, and what began after `began_by` (epoch ms).
    """
    seen = store.dags.see(run_id)
    if seen is None or not seen.active or seen.steps_left or seen.questions or "paused" in seen.facts or "cancel" in seen.facts:
        return False
    if int(seen.facts["st"]) > began_by:
        return False
    dag = graph_of(store, seen)
    gone, steps = _gone(store, seen, dag)
    if not steps and not stuck(dag, seen.codes, gone):
        return False
    new = mended(dag, list(seen.codes), steps) if not gone else requeued(dag, seen.codes, gone)
    done, _ = store.dags.write(seen, _rewrite(new))
    if done:
        log.warning("DAG run %s stood still; %d nodes were pending or without a run, it goes on", run_id, len(new.steps))
        advance(store, run_id)
    return done


def rerun(
    store: Store,
    run_id: str,
    nodes: Sequence[str] | None = None,
    *,
    items: Mapping[str, Sequence[int]] | None = None,
    descendants: bool = True,
) -> int:
    """Run nodes again, by default all that did not end well, and everything behind them; all other results are kept.

    `items` names items of mapped nodes of which only those run again; without it a mapped node that failed runs its bad
    items again when nobody named it, and as a whole when somebody did. Works while the run goes on and for as long as it
    is kept after its end. Returns how many nodes run again. Raises UnknownRun, NotAllowed.
    """
    for _ in range(TRIES):
        seen = _seen(store, run_id)
        dag = graph_of(store, seen)
        named = _places(dag, [*(nodes or ()), *(items or {})])
        wanted = named if nodes is not None or items else failed_nodes(seen.codes)
        chosen = below(dag, wanted) if descendants else frozenset(wanted)
        _refuse_running(dag, seen, chosen)
        if not chosen:
            return 0
        kept = {dag.shape.place[node]: list(numbers) for node, numbers in (items or {}).items()}
        if nodes is None and not items:
            kept = _bad_items(store, seen, dag, chosen)
        had = store.dag_data.attempts(run_id)
        new = again(dag, seen.codes, Again(chosen, kept), had.get)
        if _written(store, seen, new):
            return len(chosen)
    raise NotAllowed(f"DAG run {run_id} moves too fast to be changed; hold it first.")


def mark(store: Store, run_id: str, node: str, state: RunState) -> int:
    """Declare a node succeeded or failed, by hand; what was skipped or given up because of it is decided anew.

    Returns how many nodes are decided anew. Raises UnknownRun, NotAllowed.
    """
    if state not in (RunState.SUCCEEDED, RunState.FAILED):
        raise NotAllowed(f"a node can be marked succeeded or failed; got {state}.")
    for _ in range(TRIES):
        seen = _seen(store, run_id)
        dag = graph_of(store, seen)
        (place,) = _places(dag, [node])
        if seen.codes[place] == QUEUED:
            raise NotAllowed(f"node {node!r} is at work; cancel it first.")
        behind = below(dag, [place]) - {place}
        anew = frozenset(other for other in behind if seen.codes[other] in "ku")
        codes = list(seen.codes)
        codes[place] = CODES[state]
        new = again(dag, codes, Again(anew), store.dag_data.attempts(run_id).get)
        if _written(store, seen, new):
            return len(anew)
    raise NotAllowed(f"DAG run {run_id} moves too fast to be changed; hold it first.")


def graph_of(store: Store, seen: Seen) -> Dag:
    """The shape and rules of the graph that a DAG run is pinned to. Raises UnknownRun when it is gone."""
    return _graph(store, seen.run_id, seen.version, seen.facts["j"])


@lru_cache(maxsize=16)
def _graph(store: Store, run_id: str, version: str, name: str) -> Dag:
    fields = store.dag_data.graph(run_id, version)
    if not fields:
        raise UnknownRun(f"the graph {version} of DAG run {run_id} is not kept any more; start a new run.")
    return read_graph(name, fields)


def _seen(store: Store, run_id: str) -> Seen:
    seen = store.dags.see(run_id)
    if seen is None:
        hours = store.slots.key_ttl / 3600
        raise UnknownRun(f"DAG run {run_id} is not known here; it is kept for {hours:g} hours after its end. Start a new run.")
    return seen


def _places(dag: Dag, names: Collection[str]) -> frozenset[int]:
    for name in names:
        if name not in dag.shape.place:
            raise UnknownRun(f"DAG {dag.name!r} has no node {name!r}.{nearest(name, dag.shape.place)}")
    return frozenset(dag.shape.place[name] for name in names)


def _refuse_running(dag: Dag, seen: Seen, chosen: Collection[int]) -> None:
    busy = [dag.nodes[place].id for place in sorted(chosen) if seen.codes[place] == QUEUED]
    if busy:
        more = f" and {len(busy) - 3} more" if len(busy) > 3 else ""
        raise NotAllowed(f"{', '.join(busy[:3])}{more} can't run again while at work. Wait for them, or cancel them first.")


def _bad_items(store: Store, seen: Seen, dag: Dag, chosen: Collection[int]) -> dict[int, list[int]]:
    """For mapped nodes that had items and failed: the items that did."""
    found = {}
    for place in chosen:
        if dag.nodes[place].over is not None and seen.codes[place] == "f":
            letters, _ = store.dag_data.items(seen.run_id, place)
            bad = [item for item, letter in enumerate(letters) if ended_badly(letter)]
            if bad:
                found[place] = bad
    return found


def _gone(store: Store, seen: Seen, dag: Dag) -> tuple[frozenset[int], list[str]]:
    """Single nodes that are said to be queued and have no run, and the steps that make lost items' runs again."""
    queued = [place for place, code in enumerate(seen.codes) if code == QUEUED]
    single = {dag.nodes[place].id: place for place in queued if dag.nodes[place].over is None}
    gone = frozenset(single[label] for label in store.dag_data.missing(seen.run_id, list(single)))
    steps = []
    for place in (place for place in queued if dag.nodes[place].over is not None):
        letters, begun = store.dag_data.items(seen.run_id, place)
        labels = {node_label(dag.nodes[place].id, item): item for item, code in enumerate(letters[:begun]) if code == "."}
        steps += [f"n:{place}:{labels[label]}" for label in store.dag_data.missing(seen.run_id, list(labels))]
    return gone, steps


def _written(store: Store, seen: Seen, new: Mended) -> bool:
    run = None
    if not seen.active:
        facts = seen.facts
        run = {"s": "running", "j": facts["j"], "n": facts["nominal"], "q": facts["q"], "tid": facts["tid"], "x": facts["x"]}
        run |= {"a": "1", "c": facts["c"], "st": facts["st"], "dg": facts["n"]}
    done, _ = store.dags.write(seen, _rewrite(new, run))
    if done:
        advance(store, seen.run_id)
    return done


def _rewrite(new: Mended, run: dict[str, Any] | None = None) -> Rewrite:
    return Rewrite(new.codes, new.counters, new.left, new.bad, new.steps, new.questions, new.attempts, run=run)

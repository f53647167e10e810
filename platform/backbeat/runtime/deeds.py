"""What a person may do to runs and DAG runs. The CLI and the admin both act through here, and each deed leaves a record.

The record goes the way of all history, through the ledger's events, so it is kept when the database is away. It is written
after the deed: what was refused leaves none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backbeat.core.keys import RunId
from backbeat.core.state import RunState
from backbeat.errors import DefinitionError, UnknownRun
from backbeat.runtime import dag_mend, repeat
from backbeat.runtime.records import Records
from backbeat.runtime.repeat import Repeated
from backbeat.runtime.submit import cancel as cancel_run
from backbeat.store.events import tell_deed
from backbeat.store.store import Store

_ITEM = re.compile(r"^(.+)\[(\d+)\]$")


@dataclass(frozen=True, slots=True)
class By:
    """Who does it, and why."""

    actor: str
    reason: str = ""


def cancel(store: Store, run_id: str, by: By) -> str:
    """Cancel a run or DAG run: 'cancelled' at once, 'asked' when its workers must stop it first, 'gone' when it is over."""
    outcome = cancel_run(run_id, by.reason or f"cancelled by {by.actor}")
    if outcome != "gone":
        _tell(store, run_id, "cancel", by, outcome)
    return outcome


def retry(store: Store, records: Records, run_id: str, by: By) -> Repeated:
    """Run a run that did not end well again, as a new run; see `repeat.retry`."""
    made = repeat.retry(store, records, run_id, by.reason)
    if made.created:
        _tell(store, run_id, "retry", by, made.run_id)
    return made


def again(
    store: Store,
    records: Records,
    run_id: str,
    by: By,
    *,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    key: str | None = None,
) -> RunId:
    """One more run of the same job; see `repeat.again`. Returns the new run's id."""
    new = repeat.again(store, records, run_id, args=args, kwargs=kwargs, key=key, reason=by.reason)
    _tell(store, run_id, "again", by, new)
    return new


def release(store: Store, records: Records, run_id: str, by: By) -> str:
    """Let a run out of quarantine; see `repeat.release`."""
    state = repeat.release(store, records, run_id)
    _tell(store, run_id, "release", by, state)
    return state


def rerun(
    store: Store,
    run_id: str,
    by: By,
    nodes: Sequence[str] | None = None,
    *,
    items: Mapping[str, Sequence[int]] | None = None,
    descendants: bool = True,
) -> int:
    """Run nodes or items of a DAG run again; see `dag_mend.rerun`. Returns how many nodes that are."""
    count = dag_mend.rerun(store, run_id, nodes, items=items, descendants=descendants)
    if count:
        named = [*(nodes or ()), *(f"{node}[{item}]" for node, numbers in (items or {}).items() for item in numbers)]
        what = f"{', '.join(named) or 'all that did not end well'}{' and what is behind' if descendants else ' alone'}"
        _tell(store, run_id, "rerun", by, f"{what}: {count} nodes")
    return count


def mark(store: Store, run_id: str, node: str, state: RunState, by: By) -> int:
    """Declare a node succeeded or failed; see `dag_mend.mark`. Returns how many nodes are decided anew."""
    count = dag_mend.mark(store, run_id, node, state)
    _tell(store, run_id, "mark", by, f"{node} is {state}; {count} nodes are decided anew")
    return count


def hold(store: Store, run_id: str, by: By, *, on: bool) -> None:
    """Start no further node of a DAG run, or let it go on. Raises UnknownRun for one that is not under way."""
    if store.dags.hold(run_id, on=on):
        _tell(store, run_id, "hold" if on else "continue", by, "")
        return
    seen = store.dags.see(run_id)
    if seen is None or not seen.active:
        raise UnknownRun(f"no DAG run {run_id!r} is under way.")


def parted(named: Iterable[str]) -> tuple[list[str], dict[str, list[int]]]:
    """Nodes, and items of mapped ones, which are written as `load[3]`. Raises DefinitionError for a node named both ways."""
    nodes: list[str] = []
    items: dict[str, list[int]] = {}
    for name in named:
        found = _ITEM.match(name)
        if found:
            items.setdefault(found[1], []).append(int(found[2]))
        else:
            nodes.append(name)
    if twice := sorted(set(nodes) & set(items)):
        raise DefinitionError("node", f"{twice[0]!r} is named both as a whole and by item; choose one.")
    return nodes, items


def _tell(store: Store, run_id: str, verb: str, by: By, what: str) -> None:
    tell_deed(store.slots, run_id, verb=verb, actor=by.actor, what=what, reason=by.reason)

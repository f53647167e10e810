"""DAG runs in the ledger: started, taken on, held, cancelled and mended, each one script."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from backbeat.core.dag import Dag
from backbeat.core.dag_data import from_data, to_data
from backbeat.core.keys import SlotKeys
from backbeat.core.message import dumps
from backbeat.store.scripts import run_many, script
from backbeat.store.slots import Slots

GRAPH_BATCH = 500
UNUSED_GRAPH_MS = 3_600_000
"""How long a stored graph waits for its first run."""


@dataclass(frozen=True, slots=True)
class Started:
    """What came of a start: `started`, `waits`, `unknown` (store the graph first), `gone`, or the run's state."""

    outcome: str
    more: bool


@dataclass(frozen=True, slots=True)
class Look:
    """A DAG run at which somebody should look. `cancel` is why it is to stop, `deadline` epoch ms."""

    run_id: str
    cancel: str
    deadline: int | None
    now: int


@dataclass(frozen=True, slots=True)
class Seen:
    """A DAG run as it stood at one moment. `codes` has one letter a node (core/dag_wire.py)."""

    run_id: str
    facts: Mapping[str, str]
    codes: str
    active: bool
    steps_left: int
    questions: frozenset[str]

    @property
    def version(self) -> str:
        """The version of the graph that the run is pinned to."""
        return self.facts["v"]


@dataclass(frozen=True, slots=True)
class Rewrite:
    """The state to put a DAG run into. `attempts` and `maps` are fields of dag.a and dag.m; `run` opens an ended run again."""

    codes: str
    counters: bytes
    left: int
    bad: int
    steps: Sequence[str] = ()
    questions: Sequence[str] = ()
    attempts: Mapping[str, int] = field(default_factory=dict)
    maps: Mapping[str, int] = field(default_factory=dict)
    run: Mapping[str, str] | None = None


class DagLedger:
    """Unfinished DAG runs, and ended ones for as long as they can be rerun."""

    def __init__(self, slots: Slots) -> None:
        self.slots = slots

    def put_graph(self, run_id: str, version: str, fields: Iterable[str]) -> None:
        """Store a graph in the slot of a DAG (any run id of it will do), for runs of this version."""
        keys, walk = self.slots.of(run_id), iter(fields)
        calls = []
        while part := list(islice(walk, 2 * GRAPH_BATCH)):
            calls.append((script("dag_put"), [keys.graph(version)], [UNUSED_GRAPH_MS, 0, *part]))
        for call in calls[:-1]:
            run_many(self.slots.client, [call])
        one, names, argv = calls[-1]
        one(self.slots.client, names, [argv[0], 1, *argv[2:]])

    def start(
        self,
        run_id: str,
        version: str,
        nodes: int,
        facts: Mapping[str, str],
        kinds: Sequence[str],
        counters: bytes,
        story: Mapping[str, Any],
        *,
        message: str = "",
        max_active: int = 16,
        deadline: float | None = None,
    ) -> Started:
        """Make a queued run a DAG run and queue its roots. `counters` are those of nodes that have not begun.

        `deadline` is seconds from now; `story` goes into history.
        """
        keys = self.slots.of(run_id)
        flat = [part for pair in {"v": version, **facts}.items() for part in pair]
        flat_kinds = [part for number, text in enumerate(kinds) for part in (str(number), text)]
        limit = "" if deadline is None else round(deadline * 1000)
        argv = [*self._head(keys, run_id), nodes, max_active, limit, message, dumps(flat), dumps(flat_kinds), dumps(story)]
        argv.append(counters)
        outcome, _, more = script("dag_start")(self.slots.client, [keys.run(run_id), keys.graph(version)], argv)
        return Started(str(outcome), bool(more))

    def step(self, run_id: str, answers: Sequence[Sequence[Any]] = ()) -> tuple[bool, list[str]]:
        """Take a DAG run on by one bounded piece: (whether there is more, what somebody must find out)."""
        keys = self.slots.of(run_id)
        more, _, *questions = script("dag_step")(
            self.slots.client, [keys.dag(run_id)], [*self._head(keys, run_id), dumps(answers)]
        )
        return bool(more), [str(question) for question in questions]

    def put_items(self, run_id: str, place: int, values: Sequence[str]) -> bool:
        """Store the values (JSON texts) of a mapped node's items; False when the node does not wait for them any more."""
        keys = self.slots.of(run_id)
        for start in range(0, len(values), GRAPH_BATCH):
            part = [text for item, value in enumerate(values[start : start + GRAPH_BATCH], start) for text in (item, value)]
            names = [keys.dag(run_id, "s"), keys.dag(run_id, "v", place)]
            if not script("dag_items")(self.slots.client, names, [place, *part])[0]:
                return False
        return True

    def cancel(self, run_id: str, cause: str) -> None:
        """Stop a DAG run: nothing more starts, what runs is asked to stop. `cause` is `timed_out`, or a reason in words."""
        keys, start = self.slots.of(run_id), 0
        while start >= 0:
            argv = [*self._head(keys, run_id), cause, start]
            start = int(script("dag_cancel")(self.slots.client, [keys.dag(run_id)], argv)[0])

    def hold(self, run_id: str, *, on: bool) -> bool:
        """Hold a DAG run, or let it go on; False when it was so already, or is over."""
        keys = self.slots.of(run_id)
        changed, _ = script("dag_hold")(self.slots.client, [keys.dag(run_id)], [keys.prefix, run_id, "1" if on else "0"])
        return bool(changed)

    def due(self, limit: int, again: float) -> list[Look]:
        """The DAG runs at which somebody should look now, over all slots; each comes back after `again` seconds."""
        if not self.slots.any(keys.dags for keys in self.slots.all):
            return []
        calls = [(script("dag_due"), [keys.dags], [keys.prefix, limit, round(again * 1000)]) for keys in self.slots.all]
        return [
            Look(str(run_id), str(cancel), int(deadline) if deadline else None, int(now))
            for now, *rows in run_many(self.slots.client, calls)
            for run_id, cancel, deadline in rows
        ]

    def known(self, run_id: str) -> bool:
        """Whether a DAG run goes on, or is kept for a rerun."""
        return bool(self.slots.client.exists(self.slots.of(run_id).dag(run_id)))

    def see(self, run_id: str) -> Seen | None:
        """A DAG run as it stands, or None when it is unknown (any more)."""
        keys = self.slots.of(run_id)
        pipe = self.slots.client.pipeline(transaction=True)
        pipe.hgetall(keys.dag(run_id))
        pipe.get(keys.dag(run_id, "s"))
        pipe.zscore(keys.dags, run_id)
        pipe.llen(keys.dag(run_id, "t"))
        pipe.smembers(keys.dag(run_id, "l"))
        facts, codes, score, steps, questions = pipe.execute()
        if not facts or codes is None:
            return None
        return Seen(run_id, facts, str(codes), score is not None, int(steps), frozenset(map(str, questions)))

    def write(self, seen: Seen, new: Rewrite) -> tuple[bool, bool]:
        """Put a DAG run into another state, unless a node moved since it was seen: (done, whether there is more)."""
        keys = self.slots.of(seen.run_id)
        argv: list[Any] = [*self._head(keys, seen.run_id), seen.codes, new.codes, new.counters, new.left, new.bad]
        argv += [dumps(list(new.steps)), dumps(list(new.questions)), dumps(_flat(new.attempts)), dumps(_flat(new.maps))]
        argv.append("" if new.run is None else dumps(_flat(new.run)))
        done, _, more = script("dag_write")(self.slots.client, [keys.dag(seen.run_id)], argv)
        return bool(done), bool(more)

    def publish(self, dag: Dag) -> None:
        """Make a DAG known that no code defines: from the admin or an import."""
        self.slots.client.hset(f"{self.slots.of(dag.name).prefix}graphs", dag.name, dumps(to_data(dag)))

    def withdraw(self, name: str) -> None:
        """Forget a published DAG; its runs are pinned to their graph and go on."""
        self.slots.client.hdel(f"{self.slots.of(name).prefix}graphs", name)

    def published(self, name: str) -> Dag | None:
        """A DAG that was published. Raises GraphError when what is stored can't be read."""
        text = self.slots.client.hget(f"{self.slots.of(name).prefix}graphs", name)
        return None if text is None else from_data(json.loads(text))

    def which_published(self, names: Sequence[str]) -> frozenset[str]:
        """Those of the names under which a DAG is published."""
        pipe = self.slots.client.pipeline(transaction=False)
        for name in names:
            pipe.hexists(f"{self.slots.of(name).prefix}graphs", name)
        return frozenset(name for name, there in zip(names, pipe.execute() if names else (), strict=True) if there)

    def _head(self, keys: SlotKeys, run_id: str) -> list[Any]:
        return [keys.prefix, run_id, self.slots.direct_flag, self.slots.requeue_ms, self.slots.key_ttl_ms]


def _flat(fields: Mapping[str, Any]) -> list[str]:
    return [str(part) for pair in fields.items() for part in pair]

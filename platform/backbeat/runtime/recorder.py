"""From the ledger's event streams into history, in bulk. Events wait in Redis while the database is away."""

from __future__ import annotations

import gc
import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple

from backbeat.core.state import TERMINAL
from backbeat.runtime.ports import Ended, Event, History
from backbeat.store.events import FRESH, EventStreams, RawEvent

log = logging.getLogger("backbeat.keeper")

BATCH = 2_000
"""Events that are recorded together: enough that a transaction's own cost does not count, few enough for little memory."""
A_STREAM = 100
"""Entries that are read from each stream at a time, so that one busy slot does not hold up the others. One may hold 25 events."""
BLOCK_MS = 1_000
REST = 0.2
"""Seconds from one batch to the next at least. A transaction costs what fifty events cost, and history may be that much late."""
DEAD_AFTER_MS = 5_000
"""A batch read so long ago and not acknowledged is taken over: its recorder is dead or stuck, and recording twice is harmless."""

_NAMES = {
    ".j": "job",
    ".sid": "schedule",
    ".n": "nominal",
    ".e": "effective",
    ".bn": "born",
    ".c": "queued_at",
    ".st": "started_at",
    ".a": "attempt",
    ".l": "losses",
    ".q": "queue",
    ".w": "worker",
    ".x": "arguments",
    ".d": "dag_run",
    ".nd": "node",
    ".why": "reason",
    "state": "state",
    "reason": "reason",
    "verb": "verb",
    "actor": "actor",
    "what": "what",
}
_OF_ENDED = (".j", ".sid", ".n", ".e", ".c", ".st", ".x")
_PLAIN = frozenset(("k", "r", "t", ".a", ".q", ".w", ".tid", "outcome", "state", FRESH, *_OF_ENDED))
"""What an event may tell that is `Ended`."""
_FINAL = frozenset(state.value for state in TERMINAL)
_KEPT = frozenset(("result", "log"))
_OF_POLICY = ("task", "pool", "priority")
_outcome = json.JSONDecoder().raw_decode
_TOLD_BEFORE = frozenset((".rs", ".l", ".b"))
"""Facts of a run that was sent again, lost, or given back by its worker: there was an event then."""


class Batch(NamedTuple):
    """What was read together, and what history made of it."""

    raw: list[RawEvent]
    ready: Any


class Recorder:
    """Reads a batch, records it, acknowledges it: in this order, so that a crash only repeats.

    While the database works on a full batch, the next one is read already. `rest`: seconds from one batch to the next at
    least, in which events gather. A start waits for one batch more, since most runs have ended by then: what the end tells of a
    run that history has not heard of goes straight into its tables.
    """

    def __init__(
        self,
        streams: EventStreams,
        history: History,
        template_of: Callable[[str, str], Mapping[str, Any]],
        *,
        rest: float = 0.0,
    ) -> None:
        self._streams = streams
        self._history = history
        self._template_of = template_of
        self._rest = rest
        self._rested = float("-inf")
        self._failed: list[RawEvent] = []
        self._held: list[RawEvent] = []
        self._ahead: Future[Batch] | None = None
        self._reader = ThreadPoolExecutor(1, "backbeat-reads-ahead")
        self._looked_for_dead = float("-inf")

    def start(self) -> None:
        """Create the groups."""
        self._streams.prepare()

    def step(self, block_ms: int = BLOCK_MS) -> int:
        """Record one batch; returns how many events it held, after waiting up to `block_ms` for the first.

        What can't be recorded (the database is away: the error is raised) is kept and comes first the next time.
        """
        time.sleep(max(0.0, self._rested - time.monotonic()))
        with _no_collection():
            batch = self._next(block_ms)
            if batch.raw or self._held:
                self._rested = time.monotonic() + self._rest
            if batch.raw:
                self._failed = batch.raw
                if len(batch.raw) + len(self._held) >= BATCH and self._ahead is None:
                    self._ahead = self._reader.submit(self._read, None)
                self._history.write(batch.ready)
                self._streams.done(batch.raw)
                self._failed = []
        return len(batch.raw)

    def _next(self, block_ms: int) -> Batch:
        again = self._failed or self._of_the_dead()
        if again:
            return self._told(again, frozenset())
        if self._ahead is not None:
            ahead, self._ahead = self._ahead, None
            if (batch := ahead.result()).raw:
                return batch
        return self._read(block_ms)

    def _read(self, block_ms: int | None) -> Batch:
        new = self._streams.read_many(BATCH, A_STREAM, None if self._held else block_ms)
        raw, self._held = parted(self._held, new) if self._rest else (new, [])
        return self._told(raw, first_heard_of(raw))

    def _told(self, raw: list[RawEvent], first: frozenset[str]) -> Batch:
        """The events, of which those of the runs in `first` seem to be the first that history hears of them."""
        policies: dict[tuple[str, str], Mapping[str, Any]] = {}
        told = [self._heard(one, one.fields["r"] in first, policies) for one in without_echoes(raw)]
        return Batch(raw, self._history.ready(told))

    def _of_the_dead(self) -> list[RawEvent]:
        """What another recorder read and can't record any more; looked for now and then."""
        now = time.monotonic()
        if now - self._looked_for_dead < DEAD_AFTER_MS / 1000:
            return []
        found = self._streams.unfinished(A_STREAM, DEAD_AFTER_MS)
        if not found:
            self._looked_for_dead = now
        return found

    def _heard(self, raw: RawEvent, first: bool, policies: dict[tuple[str, str], Mapping[str, Any]]) -> Event | Ended:
        fields = raw.fields
        # A template lies in a slot, as a stream does.
        place = (raw.stream, fields.get(".tid", ""))
        if place not in policies:
            policies[place] = self._template_of(fields["r"], place[1]) if place[1] else {}
        return (first and ended(raw, policies[place])) or event(raw, policies[place], first)


@contextmanager
def _no_collection() -> Iterator[None]:
    """A batch makes a hundred thousand objects, none in a circle, and Python would look for circles again and again."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


def first_heard_of(batch: Iterable[RawEvent]) -> frozenset[str]:
    """The runs whose first event is among these: their first attempt begins here, and nothing was told before."""
    return frozenset(
        one.fields["r"]
        for one in batch
        if (FRESH in one.fields or one.fields["k"] == "started")
        and one.fields.get(".a") == "1"
        and _TOLD_BEFORE.isdisjoint(one.fields)
    )


def parted(before: list[RawEvent], new: list[RawEvent]) -> tuple[list[RawEvent], list[RawEvent]]:
    """What is to be recorded now, and the new starts that are all one hears of their runs so far; `before` has waited already."""
    starts = [one for one in new if one.fields["k"] == "started"]
    if not starts:
        return before + new, []
    more = {one.fields["r"] for one in new if one.fields["k"] != "started"}
    waiting = [one for one in starts if one.fields["r"] not in more]
    ids = {(one.stream, one.id) for one in waiting}
    return before + [one for one in new if (one.stream, one.id) not in ids], waiting


def without_echoes(batch: Iterable[RawEvent]) -> list[RawEvent]:
    """The events, less the start of an attempt whose end is here too: the end tells all that the start did."""
    listed = list(batch)
    if not any(one.fields["k"] == "started" for one in listed):
        return listed
    ended = {(one.fields["r"], one.fields.get(".a")) for one in listed if one.fields["k"] == "finished" and ".st" in one.fields}
    return [one for one in listed if one.fields["k"] != "started" or (one.fields["r"], one.fields.get(".a")) not in ended]


def ended(raw: RawEvent, policy: Mapping[str, Any]) -> Ended | None:
    """The event, first heard of, when it tells of a plain end. Else None: whatever is odd goes the ordinary way."""
    fields = raw.fields
    get = fields.get
    state = get("state")
    if get("k") != "finished" or get(".a") != "1" or state not in _FINAL or not fields.keys() <= _PLAIN:
        return None
    result = log = None
    outcome = get("outcome", "{}")
    if outcome != "{}":
        try:
            told, length = _outcome(outcome)
        except ValueError:
            return None
        if length != len(outcome) or type(told) is not dict or not told.keys() <= _KEPT:
            return None
        result, log = told.get("result"), told.get("log")
    job, schedule, nominal, effective, queued_at, started_at, arguments = map(get, _OF_ENDED)
    if nominal:
        schedule, effective = schedule or job, effective or nominal
    named = f"{raw.stream}/{raw.id}", fields["r"], fields["t"]
    own = job, schedule, nominal, effective, queued_at, started_at, arguments, result, log
    # A tuple at once: the name's own way takes longer than all else here.
    return tuple.__new__(Ended, (*named, *own, state, get(".q"), get(".w"), *map(policy.get, _OF_POLICY)))


def event(raw: RawEvent, policy: Mapping[str, Any], first: bool) -> Event:
    """The event by its ordinary name, with what history keeps of the run's policies."""
    fields = raw.fields
    data = {**event_data(fields), **policy}
    if fields["k"] == "finished":
        data["finished_at"] = fields["t"]
    return Event(f"{raw.stream}/{raw.id}", fields["k"], fields["r"], int(fields["t"]), data, first)


def event_data(fields: Mapping[str, str]) -> dict[str, Any]:
    """The named facts of a stream entry: run fields (stored short, after a dot) and the event's own. Numbers stay texts."""
    data: dict[str, Any] = {_NAMES[short]: value for short, value in fields.items() if value and short in _NAMES}
    if "nominal" in data:
        data.setdefault("schedule", data.get("job"))
        data.setdefault("effective", data["nominal"])
    if "outcome" in fields:
        # What the script itself says of the state and the reason is the last word.
        data |= json.loads(fields["outcome"])
        data |= {name: fields[name] for name in ("state", "reason") if name in fields}
    if fields["k"] == "omitted":
        data |= {"schedule": fields["r"], "job": fields["r"].split("#", 1)[0]}
        data |= {name: fields[name] for name in ("from", "to", "count")}
    if fields.get("delay"):
        data["retry_in"] = int(fields["delay"]) / 1000
    return data

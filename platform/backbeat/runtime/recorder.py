"""From the ledger's event streams into history, in bulk. Events wait in Redis while the database is away."""

from __future__ import annotations

import gc
import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from backbeat.runtime.ports import Event, History
from backbeat.store.events import FRESH, EventStreams, RawEvent

log = logging.getLogger("backbeat.keeper")

BATCH = 8_000
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
_TOLD_BEFORE = {".rs", ".l", ".b"}
"""Facts of a run that was sent again, lost, or given back by its worker: there was an event then."""


class Recorder:
    """Reads a batch, records it, acknowledges it: in this order, so that a crash only repeats.

    `rest`: seconds from one batch to the next at least, in which events gather.
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
        self._batch: list[RawEvent] = []
        self._looked_for_dead = float("-inf")

    def start(self) -> None:
        """Create the groups."""
        self._streams.prepare()

    def step(self, block_ms: int = BLOCK_MS) -> int:
        """Record one batch; returns how many events it held, after waiting up to `block_ms` for the first.

        What can't be recorded (the database is away: the error is raised) is kept and comes first the next time.
        """
        new = False
        time.sleep(max(0.0, self._rested - time.monotonic()))
        if not self._batch:
            self._batch = self._of_the_dead()
        if not self._batch:
            with _no_collection():
                self._batch, new = self._streams.read_many(BATCH, A_STREAM, block_ms), True
        if self._batch:
            self._rested = time.monotonic() + self._rest
            with _no_collection():
                first = first_heard_of(self._batch) if new else frozenset()
                self._history.record([self._event(one, one.fields["r"] in first) for one in without_echoes(self._batch)])
                self._streams.done(self._batch)
        count, self._batch = len(self._batch), []
        return count

    def _of_the_dead(self) -> list[RawEvent]:
        """What another recorder read and can't record any more; looked for now and then."""
        now = time.monotonic()
        if now - self._looked_for_dead < DEAD_AFTER_MS / 1000:
            return []
        found = self._streams.unfinished(A_STREAM, DEAD_AFTER_MS)
        if not found:
            self._looked_for_dead = now
        return found

    def _event(self, raw: RawEvent, first: bool) -> Event:
        fields = raw.fields
        data = event_data(fields)
        if ".tid" in fields:
            data |= self._template_of(fields["r"], fields[".tid"])
        if fields["k"] == "finished":
            data["finished_at"] = fields["t"]
        return Event(f"{raw.stream}/{raw.id}", fields["k"], fields["r"], int(fields["t"]), data, first)


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
        and not _TOLD_BEFORE & one.fields.keys()
    )


def without_echoes(batch: Iterable[RawEvent]) -> list[RawEvent]:
    """The events, less the start of an attempt whose end is here too: the end tells all that the start did."""
    listed = list(batch)
    ended = {(one.fields["r"], one.fields.get(".a")) for one in listed if one.fields["k"] == "finished" and ".st" in one.fields}
    return [one for one in listed if one.fields["k"] != "started" or (one.fields["r"], one.fields.get(".a")) not in ended]


def event_data(fields: Mapping[str, str]) -> dict[str, Any]:
    """The named facts of a stream entry: run fields (stored short, after a dot) and the event's own. Numbers stay texts."""
    data: dict[str, Any] = {_NAMES[short]: value for short, value in fields.items() if value and short in _NAMES}
    if "nominal" in data:
        data.setdefault("schedule", data.get("job"))
        data.setdefault("effective", data["nominal"])
    if "outcome" in fields:
        # What the script itself says of the state and the reason is the last word.
        data = data | json.loads(fields["outcome"]) | {name: fields[name] for name in ("state", "reason") if name in fields}
    if fields["k"] == "omitted":
        data |= {"schedule": fields["r"], "job": fields["r"].split("#", 1)[0]}
        data |= {name: fields[name] for name in ("from", "to", "count")}
    if fields.get("delay"):
        data["retry_in"] = int(fields["delay"]) / 1000
    return data

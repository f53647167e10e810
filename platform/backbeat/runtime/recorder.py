"""From the ledger's event streams into history, in bulk. Events wait in Redis while the database is away."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from backbeat.core.secrets import masked
from backbeat.runtime.ports import Event, History
from backbeat.store.events import EventStreams, RawEvent

log = logging.getLogger("backbeat.keeper")

BATCH = 1_000
BLOCK_MS = 1_000
DEAD_AFTER_MS = 5_000
"""A batch read so long ago and not acknowledged is taken over: its recorder is dead or stuck, and recording twice is harmless."""

_TEXT = {
    "j": "job",
    "sid": "schedule",
    "q": "queue",
    "w": "worker",
    "x": "arguments",
    "d": "dag_run",
    "nd": "node",
    "why": "reason",
}
_NUMBERS = {"n": "nominal", "e": "effective", "bn": "born", "c": "queued_at", "st": "started_at", "a": "attempt", "l": "losses"}


class Recorder:
    """Reads a batch, records it, acknowledges it: in this order, so that a crash only repeats."""

    def __init__(self, streams: EventStreams, history: History, template_of: Callable[[str, str], Mapping[str, Any]]) -> None:
        self._streams = streams
        self._history = history
        self._template_of = template_of
        self._batch: list[RawEvent] = []
        self._looked_for_dead = float("-inf")

    def start(self) -> None:
        """Create the groups."""
        self._streams.prepare()

    def step(self, block_ms: int = BLOCK_MS) -> int:
        """Record one batch; returns how many events it held, after waiting up to `block_ms` for the first.

        What can't be recorded (the database is away: the error is raised) is kept and comes first the next time.
        """
        if not self._batch:
            self._batch = self._of_the_dead() or self._streams.read(BATCH, block_ms)
        if self._batch:
            self._history.record([self._event(one) for one in self._batch])
            self._streams.done(self._batch)
        count, self._batch = len(self._batch), []
        return count

    def _of_the_dead(self) -> list[RawEvent]:
        """What another recorder read and can't record any more; looked for now and then."""
        now = time.monotonic()
        if now - self._looked_for_dead < DEAD_AFTER_MS / 1000:
            return []
        found = self._streams.unfinished(BATCH, DEAD_AFTER_MS)
        if not found:
            self._looked_for_dead = now
        return found

    def _event(self, raw: RawEvent) -> Event:
        fields = raw.fields
        data = event_data(fields)
        if ".tid" in fields:
            data |= self._template_of(fields["r"], fields[".tid"])
        if fields["k"] == "finished":
            data["finished_at"] = int(fields["t"])
        return Event(f"{raw.stream}/{raw.id}", fields["k"], fields["r"], int(fields["t"]), data)


def event_data(fields: Mapping[str, str]) -> dict[str, Any]:
    """The named facts of a stream entry: run fields (stored short, after a dot) and the event's own."""
    data: dict[str, Any] = {name: fields.get(f".{short}") for short, name in _TEXT.items() if fields.get(f".{short}")}
    for short, name in _NUMBERS.items():
        value = fields.get(f".{short}")
        data[name] = int(value) if value else None
    if data["nominal"] is not None:
        data.setdefault("schedule", data.get("job"))
        data["effective"] = data["effective"] or data["nominal"]
    if "arguments" in data:
        data["args"], data["kwargs"] = masked(json.loads(data.pop("arguments")))
    if "outcome" in fields:
        data |= json.loads(fields["outcome"])
    for name in ("state", "reason", "verb", "actor", "what"):
        if name in fields:
            data[name] = fields[name]
    if fields["k"] == "omitted":
        data |= {"schedule": fields["r"], "job": fields["r"].split("#", 1)[0]}
        data |= {name: int(fields[name]) for name in ("from", "to", "count")}
    if fields.get("delay"):
        data["retry_in"] = int(fields["delay"]) / 1000
    return data

"""The event streams between the ledger and history: read in groups, acknowledged once recorded, then removed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from redis.exceptions import ResponseError

from backbeat.store.ledger import PACKED, TEXTS
from backbeat.store.scripts import asked, asked_on, asked_together
from backbeat.store.slots import Slots

GROUP = "recorder"
TOGETHER = "ended"
"""The kind of an entry that tells the ends of several runs; see lua/finish_many.lua."""
SOON, LATER = 0.01, 0.25
"""Seconds between two looks for events where waiting for them is not possible: the first, and the longest."""
_FACTS = f"{PACKED}a{PACKED}1{PACKED}"
"""Where the facts begin in the text of a run that was claimed once; see lua/claiming.lua."""
FRESH = "fresh"
"""Says of an event that history has heard nothing of its run before."""


class RawEvent(NamedTuple):
    """One event. Those that one entry tells share its id."""

    stream: str
    id: str
    fields: Mapping[str, str]


class EventStreams:
    """A stream a slot, read as one by a named consumer of a group. Several consumers share the work."""

    def __init__(self, slots: Slots, consumer: str, group: str = GROUP, streams: Sequence[str] | None = None) -> None:
        self.slots = slots
        self.consumer = consumer
        self._group = group
        self._streams = [keys.events for keys in slots.all] if streams is None else list(streams)

    def prepare(self) -> None:
        """Create the streams and the group where they are missing; what is in a stream already will be read."""
        for stream in self._streams:
            try:
                self.slots.client.xgroup_create(stream, self._group, id="0", mkstream=True)
            except ResponseError as error:
                if "BUSYGROUP" not in str(error):
                    raise

    def read_many(self, count: int, a_stream: int, block_ms: int | None) -> list[RawEvent]:
        """About `count` new events when so many wait, taken in turns of at most `a_stream` from each stream."""
        found = more = self.read(a_stream, block_ms)
        while self.slots.clustered and len(more) >= a_stream and len(found) < count:
            more = self.read(a_stream, None)
            found += more
        if not self.slots.clustered and a_stream <= len(found) < count:
            self._read_on(found, count, a_stream)
        return found

    def _read_on(self, found: list[RawEvent], count: int, a_stream: int) -> None:
        """Add what else waits. The server looks for the next answer while we look at one."""

        def more(reply: Any) -> bool:
            some = _events(reply)
            found.extend(some)
            return len(some) >= a_stream and len(found) < count

        self._asked(lambda: asked_on(self.slots.client, self._ask(a_stream), more))

    def read(self, count: int, block_ms: int | None) -> list[RawEvent]:
        """New events for this consumer, `count` of each stream, waiting up to `block_ms` for the first one."""
        if self.slots.clustered:
            return self._read_each(count, block_ms)
        patience = () if block_ms is None else ("BLOCK", block_ms)
        return _events(self._asked(lambda: asked(self.slots.client, *self._ask(count, *patience))))

    def _ask(self, count: int, *patience: str | int) -> tuple[str | int, ...]:
        return (*self._whose(count), *patience, "STREAMS", *self._streams, *[">"] * len(self._streams))

    def _read_each(self, count: int, block_ms: int | None) -> list[RawEvent]:
        """As `read` in a cluster, where no question, and so no waiting, may be about two slots: look again and again."""
        until, pause = time.monotonic() + (block_ms or 0) / 1000, SOON
        asks = [(*self._whose(count), "STREAMS", stream, ">") for stream in self._streams]
        while True:
            replies = self._asked(lambda: asked_together(self.slots.client, asks)) or ()
            found = [event for reply in replies for event in _events(reply)]
            left = until - time.monotonic()
            if found or left <= 0:
                return found
            time.sleep(min(pause, left))
            pause = min(2 * pause, LATER)

    def _whose(self, count: int) -> tuple[str | int, ...]:
        return "XREADGROUP", "GROUP", self._group, self.consumer, "COUNT", count

    def unfinished(self, count: int, idle_ms: int) -> list[RawEvent]:
        """Events that some consumer (this one before a crash, or a dead one) read but never recorded."""
        pipe = self.slots.client.pipeline(transaction=False)
        for stream in self._streams:
            pipe.xautoclaim(stream, self._group, self.consumer, idle_ms, "0", count=count)
        found: list[RawEvent] = []
        for stream, reply in zip(self._streams, pipe.execute(raise_on_error=False), strict=True):
            if isinstance(reply, Exception):
                self._mend(reply)
            else:
                found += _each(stream, [row for row in reply[1] if row[1]])
        return found

    def _asked(self, ask: Callable[[], Any]) -> Any:
        """The answer, or nothing when the group is gone: a Redis that came back empty needs a new one."""
        try:
            return ask()
        except ResponseError as error:
            self._mend(error)
            return None

    def _mend(self, error: Exception) -> None:
        if "NOGROUP" not in str(error):
            raise error
        self.prepare()

    def done(self, events: Sequence[RawEvent]) -> None:
        """Acknowledge and remove recorded events."""
        by_stream: dict[str, dict[str, None]] = {}
        for event in events:
            by_stream.setdefault(event.stream, {})[event.id] = None
        acks = [("XACK", stream, self._group, *ids) for stream, ids in by_stream.items()]
        asked_together(self.slots.client, acks + [("XDEL", stream, *ids) for stream, ids in by_stream.items()])

    def backlog(self) -> int:
        """How many events wait to be recorded."""
        pipe = self.slots.client.pipeline(transaction=False)
        for stream in self._streams:
            pipe.xlen(stream)
        return sum(pipe.execute())


def tell_deed(slots: Slots, run_id: str, *, verb: str, actor: str, what: str, reason: str) -> None:
    """Put what a person did to a run among its events."""
    fields: dict[Any, Any] = {
        "k": "deed",
        "r": run_id,
        "t": slots.now_ms(),
        "verb": verb,
        "actor": actor,
        "what": what,
        "reason": reason,
    }
    slots.client.xadd(slots.of(run_id).events, fields)


def oldest(slots: Slots, identity: str) -> int | None:
    """When (epoch ms) the oldest event happened that history may not have yet, among those of a job; None: it has all."""
    found = slots.client.xrange(slots.of(identity).events, count=1)
    return int(str(found[0][0]).partition("-")[0]) if found else None


def _events(reply: Any) -> list[RawEvent]:
    found: list[RawEvent] = []
    # As the server sends it, by RESP3 or RESP2: redis-py's own reading takes longer than all that follows.
    for stream, rows in reply.items() if isinstance(reply, dict) else reply or ():
        found += _each(stream, ((entry_id, dict(zip(flat[::2], flat[1::2], strict=True))) for entry_id, flat in rows))
    return found


def _each(stream: str, rows: Iterable[tuple[str, Mapping[str, str]]]) -> list[RawEvent]:
    found: list[RawEvent] = []
    for entry_id, fields in rows:
        if fields.get("k") == TOGETHER:
            found += [RawEvent(stream, entry_id, one) for one in _parted(fields)]
        else:
            found.append(RawEvent(stream, entry_id, fields))
    return found


def _parted(entry: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """The events of several runs, each as one that was told by itself."""
    same = {"k": "finished", "t": entry["t"], FRESH: "1"}
    parts = iter(entry["runs"].split(TEXTS))
    for run_id, text, state, outcome in zip(parts, parts, parts, parts, strict=True):
        # What the ledger keeps for itself stands before the number of the attempt (lua/claiming.lua).
        facts = iter(text[text.index(_FACTS) + 1 :].split(PACKED))
        named = {f".{name}": value for name, value in zip(facts, facts, strict=True)}
        yield named | same | {"r": run_id, "state": state, "outcome": outcome}

"""Entries of another scheduler's storage in our index: written under a fence, counted when they fire."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from backbeat.core.entry import Entry
from backbeat.core.template import Template
from backbeat.store.edits import Edits
from backbeat.store.scripts import run_many, script
from backbeat.store.slots import Slots

BATCH = 500
_FENCE = ""


@dataclass(frozen=True, slots=True)
class Foreign:
    """What is to stand in the index for one entry: due (`entry` and `template`), parked (`reason`), or idle (neither).

    `note` leads back to the storage; without one the entry is forgotten. `first` is its first place (epoch ms, None:
    never), which counts unless it is there already with the same timing. `count` is how often it fired before.
    """

    id: str
    note: str = ""
    entry: Entry | None = None
    template: Template | None = None
    first: int | None = None
    count: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """A fire that the storage was not told of yet."""

    id: str
    last: int
    """Nominal time, epoch ms."""
    count: int
    """How often the entry has fired in all."""
    next: int | None
    """When it is next due, epoch ms."""


class ForeignEntries:
    """The foreign part of the index, over all slots."""

    def __init__(self, slots: Slots) -> None:
        self.slots = slots
        self._edits = Edits(slots)
        self._in_step = f"{{{slots.prefix}}}:redbeat"

    def note_in_step(self, ttl: float) -> None:
        """Say to all schedulers, for `ttl` seconds, that the index holds what the storage holds."""
        self.slots.client.set(self._in_step, "1", px=round(ttl * 1000))

    def in_step(self) -> bool:
        """Whether somebody said so."""
        return bool(self.slots.client.exists(self._in_step))

    def out_of_step(self) -> None:
        """Take it back."""
        self.slots.client.delete(self._in_step)

    def known(self) -> dict[str, str]:
        """Every entry that stands in the index, due, parked or idle: id -> note."""
        found: dict[str, str] = {}
        for keys in self.slots.all:
            for name, note in self.slots.client.hscan_iter(keys.foreign, count=1000):
                found[str(name)] = str(note)
        found.pop(_FENCE, None)
        return found

    def write(self, fence: int, wanted: Iterable[Foreign]) -> bool:
        """Write them; False when a later leader has written, and this one must stop."""
        calls = (self._call(fence, one) for one in wanted)
        while chunk := list(islice(calls, BATCH)):
            replies = run_many(self.slots.client, chunk)
            self._edits.note()
            if not all(int(taken) for _, taken, _ in replies):
                return False
        return True

    def _call(self, fence: int, one: Foreign) -> tuple[Any, Sequence[str], Sequence[Any]]:
        keys = self.slots.of(one.id)
        timing = record = score = template_id = template = ""
        if one.entry is not None and one.template is not None:
            timing, record, score = one.entry.timing.text, one.entry.text, one.entry.score(one.first)
            template_id, template = one.template.id, one.template.text
        names = [keys.foreign, keys.due, keys.entries, keys.parked, keys.jobs, keys.templates, keys.counts, keys.fired]
        argv = [fence, one.id, one.note, timing, record, score, template_id, template, one.count, one.reason]
        return script("adopt"), names, argv

    def active(self, ids: Sequence[str]) -> dict[str, int | None]:
        """Those of these entries that may still fire, or have fires to report: id -> the last such fire (epoch ms)."""
        pipe = self.slots.client.pipeline(transaction=False)
        for one in ids:
            keys = self.slots.of(one)
            pipe.zscore(keys.due, one)
            pipe.zscore(keys.fired, one)
        answers = iter(pipe.execute() if ids else [])
        found = {one: (next(answers), next(answers)) for one in ids}
        return {one: None if last is None else int(last) for one, (due, last) in found.items() if (due, last) != (None, None)}

    def fired(self, limit: int = BATCH) -> list[Report]:
        """Fires to report, at most `limit` a slot."""
        if not self.slots.any(keys.fired for keys in self.slots.all):
            return []
        pipe = self.slots.client.pipeline(transaction=False)
        for keys in self.slots.all:
            pipe.zrange(keys.fired, 0, limit - 1, withscores=True)
        found = [(keys, dict(rows)) for keys, rows in zip(self.slots.all, pipe.execute(), strict=True) if rows]
        for keys, rows in found:
            pipe.hmget(keys.counts, list(rows))
            pipe.zmscore(keys.due, list(rows))
        answers = iter(pipe.execute() if found else [])
        return [report for _, rows in found for report in _reports(rows, next(answers), next(answers))]

    def reported(self, reports: Sequence[Report]) -> None:
        """Forget fires that were reported; one that fired again meanwhile is reported again."""
        by_slot: dict[str, list[Any]] = {}
        for one in reports:
            by_slot.setdefault(self.slots.of(one.id).fired, []).extend([str(one.last), one.id])
        run_many(self.slots.client, [(script("reported"), [key], argv) for key, argv in by_slot.items()])


def _reports(rows: Mapping[Any, float], counts: Sequence[Any], places: Sequence[float | None]) -> list[Report]:
    return [
        Report(str(name), int(last), int(count or 0), None if place in (None, float("inf")) else int(place or 0))
        for (name, last), count, place in zip(rows.items(), counts, places, strict=True)
    ]

"""The time index: which schedule is due when, per shard, and the atomic step from due to queued."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from backbeat.core import template as templates
from backbeat.core.entry import NEVER, RS, Entry, Timing, entries_of
from backbeat.core.job import JobSpec
from backbeat.core.template import Template
from backbeat.store.calendars import Calendars
from backbeat.store.conversation import Conversation
from backbeat.store.edits import Edits
from backbeat.store.leases import Lease
from backbeat.store.scripts import Call, asked, run_many, script
from backbeat.store.slots import Slots

PUT_BATCH = 500
NONE = "NONE"
"""In place of the name of a job's policies: it has none, but by code."""


@dataclass(frozen=True, slots=True)
class Due:
    """What one shard has due: `items` are (schedule id, score, record); `next` is the first time when nothing is due yet."""

    lease: Lease
    now: int
    leads: bool
    next: int | None
    items: list[tuple[str, str, str]]


@dataclass(frozen=True, slots=True)
class Fired:
    """What came of a batch. `refused` entries had been moved by somebody else; `duplicates` were runs that existed."""

    leads: bool
    now: int
    """When, by the server's clock (epoch ms)."""
    fired: int
    refused: int
    duplicates: int
    missed: Mapping[str, int]
    """Occurrences left out, by reason."""

    @property
    def omitted(self) -> int:
        """Occurrences left out, for whatever reason."""
        return sum(self.missed.values())


class ScheduleIndex:
    """Schedules by next time."""

    def __init__(self, slots: Slots, calendars: Calendars | None = None) -> None:
        self.slots = slots
        self.calendars = calendars or Calendars(slots)
        self._edits = Edits(slots)
        self._templates: dict[tuple[int, str], Template] = {}
        self._limits: dict[tuple[int, str], str] = {}
        self._heard: dict[str, str] = {}

    def put(self, spec: JobSpec, since: Mapping[str, int] | None = None) -> None:
        """Write a job's schedules; see `put_many`."""
        self.put_many([spec], since)

    def put_many(
        self, specs: Iterable[JobSpec], since: Mapping[str, int] | None = None, had: Mapping[str, int] | None = None
    ) -> int:
        """Write the schedules of many jobs; disabled ones are taken out. Returns how many entries were written.

        An entry whose timing did not change keeps its place. A new one is first due after `since[schedule id]`
        (epoch ms: the last occurrence known to history), or after now. `had` says how many runs a schedule has had, where
        that count may be lost.
        """
        now, written = self.slots.now_ms(), 0
        calls = (call for spec in specs for call in self._calls(spec, now, since or {}, had or {}))
        while chunk := list(islice(calls, PUT_BATCH)):
            run_many(self.slots.client, chunk)
            self._edits.note()
            written += len(chunk)
        return written

    def _calls(
        self, spec: JobSpec, now: int, since: Mapping[str, int], had: Mapping[str, int]
    ) -> Iterator[tuple[Any, list[str], list[Any]]]:
        template = Template.of(spec)
        keys = self.slots.of(spec.name)
        live = entries_of(spec)
        if gone := set(map(spec.schedule_id, spec.schedules)) - {entry.id for entry in live}:
            self.remove(gone)
        policies = [spec.name, template.id, template.text, template.limits]
        yield script("define"), [keys.jobs, keys.templates, keys.limits], policies
        for entry in live:
            first = self._timing(entry).next(since.get(entry.id, now))
            limit = entry.timing.limit
            runs = "" if limit is None else had.get(entry.id, "")
            yield (
                script("put"),
                [keys.due, keys.entries, keys.parked, keys.spent],
                [entry.id, entry.timing.text, entry.text, entry.score(first), limit or "", runs],
            )

    def _timing(self, entry: Entry) -> Timing:
        """With its calendar, if that is there yet: it may move an occurrence of an earlier day to one that is to come."""
        timing = entry.timing
        return timing.within(self.calendars.known()) if timing.calendar else timing

    def remove(self, schedule_ids: Iterable[str]) -> None:
        """Take schedules out; what they fired already is not touched."""
        pipe = self.slots.client.pipeline(transaction=False)
        for schedule_id in schedule_ids:
            keys = self.slots.of(schedule_id)
            pipe.zrem(keys.due, schedule_id)
            pipe.hdel(keys.entries, schedule_id)
            pipe.hdel(keys.parked, schedule_id)
        if len(pipe):
            pipe.execute()

    def ids(self) -> Iterator[tuple[str, str]]:
        """Every (schedule id, record), slot by slot, without blocking the server."""
        for keys in self.slots.all:
            yield from self.slots.client.hscan_iter(keys.entries, count=1000)

    def jobs(self) -> set[str]:
        """The names of all jobs whose policies are here, those without a schedule included."""
        return {str(name) for keys in self.slots.all for name in self.slots.client.hkeys(keys.jobs)}

    def next_times(self, schedule_ids: Sequence[str]) -> dict[str, int | None]:
        """The effective time (ms) at which each schedule is next due; None when never or unknown."""
        pipe = self.slots.client.pipeline(transaction=False)
        for schedule_id in schedule_ids:
            pipe.zscore(self.slots.of(schedule_id).due, schedule_id)
        scores = pipe.execute() if schedule_ids else []
        return {one: _ms(score) for one, score in zip(schedule_ids, scores, strict=True)}

    def template(self, slot: int, template_id: str) -> Template | None:
        """A template by its id; templates never change, so each is read once."""
        known = self._templates.get((slot, template_id))
        if known is None:
            text = self.slots.client.hget(self.slots.all[slot].templates, template_id)
            if text is None:
                return None
            known = self._templates[slot, template_id] = templates.read(str(text))
        return known

    def template_of(self, job: str) -> Template | None:
        """The policies in force for a job, or None when no such job is defined."""
        keys = self.slots.of(job)
        template_id = asked(self.slots.client, "HGET", keys.jobs, job)
        self._heard[job] = NONE if template_id is None else str(template_id)
        return None if template_id is None else self.template(keys.slot, str(template_id))

    def heard_of(self, job: str) -> tuple[str, Template | None]:
        """The policies of a job as this process last heard, and their name for whoever checks it; an empty name for nothing."""
        name = self._heard.get(job, "")
        template = self._templates.get((self.slots.of(job).slot, name))
        return (name, template) if template is not None or name == NONE else ("", None)

    def forget(self, job: str, schedule_ids: Iterable[str]) -> None:
        """Take a whole job out, and with it the count of its runs."""
        ids, keys = list(schedule_ids), self.slots.of(job)
        self.remove(ids)
        self.slots.client.hdel(keys.jobs, job)
        self.slots.client.hdel(keys.limits, job)
        if ids:
            self.slots.client.hdel(keys.spent, *ids)

    def recount(self, schedule_ids: Iterable[str]) -> None:
        """Count the runs of schedules that are limited in number from nought again; one that had ended begins when next put."""
        for schedule_id in schedule_ids:
            keys = self.slots.of(schedule_id)
            # Nought and not nothing: what is not there is taken from history when the index is mended.
            self.slots.client.hset(keys.spent, schedule_id, "0")
            if self.slots.client.zscore(keys.due, schedule_id) == float(NEVER):
                self.slots.client.zrem(keys.due, schedule_id)

    def keep_template(self, owner: str, template: Template, job: str) -> None:
        """Make a job's policies known in the slot of a run or DAG, for runs that are not fired by a schedule."""
        keys = self.slots.of(owner)
        if (keys.slot, template.id) not in self._templates:
            self.slots.client.hset(keys.templates, template.id, template.text)
            self._templates[keys.slot, template.id] = template
        if self._limits.get((keys.slot, job), "") != template.limits:
            self._limits[keys.slot, job] = template.limits
            if template.limits:
                self.slots.client.hset(keys.limits, job, template.limits)
            else:
                self.slots.client.hdel(keys.limits, job)

    def due(self, leases: Sequence[Lease], limit: int) -> list[Due]:
        """What is due in each led shard, all in one round trip; at most `limit` entries a shard."""
        calls = [self._due(lease, limit) for lease in leases]
        replies = run_many(self.slots.client, calls) if calls else []
        return [_due(lease, reply) for lease, reply in zip(leases, replies, strict=True)]

    def conversation(self) -> Conversation:
        """For `fire` and `fired`."""
        return Conversation(self.slots.client)

    def fire(self, talk: Conversation, lease: Lease, batch: Sequence[str], more: int = 0) -> None:
        """Have entries advanced and their runs created in one script, under the lease's fence; `fired` tells what came of it.

        `batch` is what `Batch.argv` gives. With `more`, what is due in the shard after that, at most so many entries, comes
        along with the answer.
        """
        keys = self.slots.all[lease.shard]
        argv = [lease.holder, lease.fence, keys.prefix, self.slots.direct_flag, self.slots.requeue_ms, *batch]
        call: Call = (script("fire"), [keys.lease, keys.due, keys.entries], argv)
        talk.ask([call, self._due(lease, more)] if more else [call])

    def fired(self, talk: Conversation, lease: Lease) -> tuple[Fired, Due | None]:
        """What came of the oldest batch that was not answered yet, and what is due after it where that was asked for."""
        (now, leads, fired, refused, duplicates, *missed), *then = talk.answer()
        told = Fired(bool(leads), now, fired, refused, duplicates, dict(zip(missed[::2], missed[1::2], strict=True)))
        return told, _due(lease, then[0]) if then else None

    def _due(self, lease: Lease, limit: int) -> Call:
        keys = self.slots.all[lease.shard]
        return script("due"), [keys.lease, keys.due, keys.entries], [lease.holder, lease.fence, limit, 0]

    def park(self, shard: int, schedule_id: str, reason: str) -> None:
        """Take an entry that can't be evaluated out of the index, and keep it with the reason until it is written again."""
        keys = self.slots.all[shard]
        pipe = self.slots.client.pipeline(transaction=True)
        pipe.zrem(keys.due, schedule_id)
        pipe.hset(keys.parked, schedule_id, reason)
        pipe.execute()

    def parked(self) -> dict[str, str]:
        """Schedules that were parked, and why."""
        found: dict[str, str] = {}
        for keys in self.slots.all:
            found |= {str(name): str(why) for name, why in self.slots.client.hgetall(keys.parked).items()}
        return found


def timing_of(record: str) -> str:
    """The timing part of a stored record."""
    return record.split(RS, 1)[0]


def _ms(score: float | str | None) -> int | None:
    return None if score is None or float(score) == float("inf") else int(float(score))


def _due(lease: Lease, reply: list[Any]) -> Due:
    now, leads, first, found, records = reply
    items = [(one, score, record or "") for one, score, record in zip(found[::2], found[1::2], records, strict=True)]
    return Due(lease, int(now), bool(int(leads)), _ms(first) if first else None, items)

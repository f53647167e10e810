"""One schedule as the time index keeps it: a short line of text, because there may be millions.

    <timing> RS <template id> US <arguments as JSON text of [args, kwargs]>

The timing comes first, so that a script can tell an edit of the time (the next occurrence must be computed anew)
from an edit of anything else (the entry must keep its place, or a due occurrence would be lost).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from zlib import crc32

from backbeat.core.job import JobSpec, Schedule
from backbeat.core.message import arguments_of
from backbeat.core.occurrence import next_after
from backbeat.core.template import Template
from backbeat.core.when import When, from_text, to_text
from backbeat.errors import DefinitionError

RS, US = "\x1e", "\x1f"
NEVER = "inf"
"""Score of an entry that has no occurrence left: it stays known, so that writing it again does not fire it again."""


@dataclass(frozen=True, eq=False)
class Timing:
    """When an entry is due. Bounds are epoch ms, jitter is ms; `limit` is how many runs it may have in all.

    Compared and hashed by identity: entries that read the same text share one object, and with it its known answers.
    """

    when: When
    start: int | None = None
    end: int | None = None
    jitter: int = 0
    limit: int | None = None

    @classmethod
    def of(cls, schedule: Schedule, when: When | None = None) -> Timing:
        """The timing of a schedule; `when` stands for the schedule's own, with its hashed fields filled in."""
        return cls(when or schedule.when, schedule.start, schedule.end, round(schedule.jitter * 1000), schedule.max_runs)

    @lru_cache(maxsize=65536)  # noqa: B019 - timings are few, shared, and themselves kept by a cache
    def next(self, after: int) -> int | None:
        """The first nominal time after `after`, within the bounds."""
        if self.start is not None:
            after = max(after, self.start - 1)
        moment = next_after(self.when, after)
        return None if moment is None or (self.end is not None and moment > self.end) else moment

    @property
    def text(self) -> str:
        """The form that is stored; the bounds only as far as there are any."""
        bounds = (self.start, self.end, self.jitter or None, self.limit)
        return US.join([to_text(self.when), *("" if part is None else str(part) for part in bounds)]).rstrip(US)


@dataclass(frozen=True, slots=True)
class Entry:
    """A schedule in the index."""

    id: str
    timing: Timing
    template_id: str
    arguments: str

    @property
    def text(self) -> str:
        """The record."""
        return f"{self.timing.text}{RS}{self.template_id}{US}{self.arguments}"

    @property
    def job(self) -> str:
        """The job that the schedule belongs to."""
        return self.id.split("#", 1)[0]

    def score(self, nominal: int | None) -> str:
        """The place in the index of an occurrence with this nominal time: the effective time, in ms."""
        return NEVER if nominal is None else str(nominal + offset(self.id, self.timing.jitter))


@lru_cache(maxsize=16384)
def _timing(text: str) -> Timing:
    when, *bounds = text.split(US)
    start, end, jitter, limit = (int(part) if part else None for part in [*bounds, *[""] * (4 - len(bounds))])
    return Timing(from_text(when), start, end, jitter or 0, limit)


def read(entry_id: str, text: str) -> Entry:
    """The entry of a record. Raises DefinitionError for one that can't be read."""
    try:
        timing, rest = text.split(RS, 1)
        template_id, arguments = rest.split(US, 1)
        return Entry(entry_id, _timing(timing), template_id, arguments)
    except ValueError as error:
        raise DefinitionError(
            "entry", f"record of {entry_id!r} can't be read ({error}); write the job again to mend it."
        ) from error


def offset(entry_id: str, jitter: int) -> int:
    """The stable part of the jitter window (ms) at which this entry fires: the same on every machine, for ever."""
    return crc32(entry_id.encode()) % jitter if jitter else 0


def entries_of(spec: JobSpec) -> list[Entry]:
    """The entries of a job's enabled schedules."""
    template = Template.of(spec)
    return [_entry(spec, schedule, template) for schedule in spec.schedules if schedule.enabled and spec.enabled]


def _entry(spec: JobSpec, schedule: Schedule, template: Template) -> Entry:
    return Entry(spec.schedule_id(schedule), Timing.of(schedule), template.id, arguments_of(schedule.args, schedule.kwargs))

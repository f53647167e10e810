"""One schedule as the time index keeps it: a short line of text, because there may be millions.

    <timing> RS <template id> US <arguments as JSON text of [args, kwargs]>

The timing comes first, so that a script can tell an edit of the time (the next occurrence must be computed anew)
from an edit of anything else (the entry must keep its place, or a due occurrence would be lost).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from zlib import crc32

from backbeat.core.calendar import Calendar, Fate, Mode, named
from backbeat.core.job import JobSpec, Schedule
from backbeat.core.message import arguments_of
from backbeat.core.occurrence import next_after
from backbeat.core.template import Template
from backbeat.core.when import When, from_text, to_text
from backbeat.errors import DefinitionError

RS, US = "\x1e", "\x1f"
NEVER = "inf"
"""Score of an entry that has no occurrence left: it stays known, so that writing it again does not fire it again."""
_NONE: Mapping[str, Calendar] = {}
_BOUNDS = 6


@dataclass(frozen=True, eq=False)
class Timing:
    """When an entry is due. Bounds are epoch ms, jitter is ms; `limit` is how many runs it may have in all.

    `calendar` is the name of one, `days` its content where that is known. Compared and hashed by identity: entries that
    read the same text share one object, and with it its known answers.
    """

    when: When
    start: int | None = None
    end: int | None = None
    jitter: int = 0
    limit: int | None = None
    calendar: str = ""
    mode: str = Mode.SKIP.value
    days: Calendar | None = None

    @classmethod
    def of(cls, schedule: Schedule, when: When | None = None, calendars: Mapping[str, Calendar] = _NONE) -> Timing:
        """The timing of a schedule; `when` stands for the schedule's own, with its hashed fields filled in."""
        bounds, jitter = (schedule.start, schedule.end), round(schedule.jitter * 1000)
        name, mode = schedule.calendar_name, schedule.calendar_mode
        return cls(when or schedule.when, *bounds, jitter, schedule.max_runs, name, mode, calendars.get(name))

    @lru_cache(maxsize=65536)  # noqa: B019 - timings are few, shared, and themselves kept by a cache
    def next(self, after: int) -> int | None:
        """The next time to look at after `after`, within the bounds: whether it fires then is `fate`'s affair.

        A day that is closed now may be open by then, so closed times are looked at too.
        """
        moment = self._plain(after)
        if self.days is None or self.mode != Mode.SHIFT:
            return moment
        shifted = self.days.shifted(self._plain, after)
        return moment if shifted is None else shifted if moment is None else min(moment, shifted)

    def fires_after(self, after: int) -> int | None:
        """The first nominal time after `after` at which it fires, as its calendar is now."""
        return self.next(after) if self.days is None else self.days.fires_after(self._plain, after, self.mode)

    def fate(self, moment: int) -> Fate:
        """What becomes of one of its times. Raises DefinitionError when its calendar is not known."""
        if self.days is not None:
            return self.days.fate(moment, self.mode)
        if self.calendar:
            named(self.calendar, _NONE)
        return Fate.FIRES

    def within(self, calendars: Mapping[str, Calendar]) -> Timing:
        """The same timing with the content of its calendar, if it names one that is there."""
        days = calendars.get(self.calendar)
        return self if days is None else _with(self, days)

    def _plain(self, after: int) -> int | None:
        if self.start is not None:
            after = max(after, self.start - 1)
        moment = next_after(self.when, after)
        return None if moment is None or (self.end is not None and moment > self.end) else moment

    @property
    def text(self) -> str:
        """The form that is stored; the bounds only as far as there are any."""
        bounds = (self.start, self.end, self.jitter or None, self.limit, self.calendar, self.mode if self.calendar else "")
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
    *numbers, calendar, mode = [*bounds, *[""] * (_BOUNDS - len(bounds))]
    start, end, jitter, limit = (int(part) if part else None for part in numbers)
    return Timing(from_text(when), start, end, jitter or 0, limit, calendar, mode or Mode.SKIP.value)


@lru_cache(maxsize=16384)
def _with(timing: Timing, days: Calendar) -> Timing:
    return replace(timing, days=days)


def read(entry_id: str, text: str, calendars: Callable[[], Mapping[str, Calendar]] = dict) -> Entry:
    """The entry of a record. `calendars` is only asked for one that names a calendar.

    Raises DefinitionError for a record that can't be read, or whose calendar is not among them.
    """
    try:
        timing, rest = text.split(RS, 1)
        template_id, arguments = rest.split(US, 1)
        found = _timing(timing)
    except ValueError as error:
        raise DefinitionError(
            "entry", f"record of {entry_id!r} can't be read ({error}); write the job again to mend it."
        ) from error
    if found.calendar and (known := calendars()):
        named(found.calendar, known)
        found = found.within(known)
    return Entry(entry_id, found, template_id, arguments)


def offset(entry_id: str, jitter: int) -> int:
    """The stable part of the jitter window (ms) at which this entry fires: the same on every machine, for ever."""
    return crc32(entry_id.encode()) % jitter if jitter else 0


def entries_of(spec: JobSpec) -> list[Entry]:
    """The entries of a job's enabled schedules."""
    template = Template.of(spec)
    return [_entry(spec, schedule, template) for schedule in spec.schedules if schedule.enabled and spec.enabled]


def _entry(spec: JobSpec, schedule: Schedule, template: Template) -> Entry:
    return Entry(spec.schedule_id(schedule), Timing.of(schedule), template.id, arguments_of(schedule.args, schedule.kwargs))

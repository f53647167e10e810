"""What an importer says, whatever it reads: as a table for people and as data for programs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, tzinfo
from typing import Any

from backbeat.core.describe import describe
from backbeat.core.job import Schedule
from backbeat.core.occurrence import upcoming
from backbeat.core.secrets import masked
from backbeat.core.taking import Refused, Taken
from backbeat.core.when import Cron, RRule, When, iso
from backbeat.core.zone import load

RUNS = 3
WIDTH = 100
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Row:
    """One entry of the source as the report shows it, with what becomes of it.

    `schedule` is written as there; `becomes` is what stands in place of a job where there is none; `facts` is what
    programs get.
    """

    place: int | str
    schedule: str
    detail: str = ""
    result: Taken | Refused | None = None
    becomes: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Sheet:
    """One source: `title` is its line in the table, `facts` what programs get of it, `counts` what it holds by kind."""

    name: str
    title: str
    rows: list[Row]
    counts: Mapping[str, int]
    notes: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    def taken(self) -> list[Taken]:
        """What can be taken, in order."""
        return [row.result for row in self.rows if isinstance(row.result, Taken)]

    def refused(self) -> list[Refused]:
        """What can't be taken, in order."""
        return [row.result for row in self.rows if isinstance(row.result, Refused)]

    def refuse(self, reasons: Mapping[str, str]) -> None:
        """Refuse jobs after all: name -> why."""
        self.rows = [
            replace(row, result=Refused(row.place, row.result.text, reasons[row.result.spec.name]))
            if isinstance(row.result, Taken) and row.result.spec.name in reasons
            else row
            for row in self.rows
        ]


@dataclass(frozen=True, slots=True)
class Unread:
    """A source that was not read, and why."""

    name: str
    why: str


@dataclass(slots=True)
class Report:
    """Everything that one import has to say. `outcomes` maps a job's name to what happened to it in the database."""

    sheets: list[Sheet]
    tz: str
    now_ms: int
    noun: str = "line"
    """What the source calls one of its entries."""
    unread: list[Unread] = field(default_factory=list)
    outcomes: dict[str, str] = field(default_factory=dict)
    reminders: list[str] = field(default_factory=list)
    """What is worth knowing of the import as a whole."""
    _runs: dict[tuple[When, int | None, int | None], list[int]] = field(default_factory=dict)

    def refused(self) -> int:
        """How many entries can't be taken."""
        return sum(len(sheet.refused()) for sheet in self.sheets)

    def next_runs(self, schedule: Schedule) -> list[int]:
        """The next three instants (epoch ms); a large source asks for the same ones over and over."""
        key = schedule.when, schedule.start, schedule.end
        if key not in self._runs:
            begin = self.now_ms if schedule.start is None else max(self.now_ms, schedule.start - 1)
            moments = upcoming(schedule.when, begin, RUNS)
            self._runs[key] = [moment for moment in moments if schedule.end is None or moment <= schedule.end]
        return self._runs[key]

    def counts(self) -> dict[str, int]:
        """How many there are of each kind, and what becomes of them."""
        found: Counter[str] = Counter()
        for sheet in self.sheets:
            found.update(sheet.counts)
        return {**found, "taken": sum(len(sheet.taken()) for sheet in self.sheets), "refused": self.refused()}

    def plural(self, count: int) -> str:
        """`1 line`, `3 entries`."""
        noun = self.noun if count == 1 else f"{self.noun.removesuffix('y')}{'ies' if self.noun.endswith('y') else 's'}"
        return f"{count} {noun}"


def table(report: Report) -> Iterator[str]:
    """The report in lines of text: each source, then what can't be taken, then what is worth knowing."""
    for sheet in report.sheets:
        yield f"{sheet.name}: {sheet.title}; times in {report.tz}"
        yield from _rows(sheet, report)
        yield ""
    yield from _titled("Can't be taken:", refusals(report))
    yield from _titled("Worth knowing:", _notes(report))
    yield from _titled("Not read:", (f"{item.name}: {item.why}" for item in report.unread))


def refusals(report: Report) -> Iterator[str]:
    """`source:place: reason` for each entry that can't be taken."""
    for sheet in report.sheets:
        yield from (f"{sheet.name}:{clean(str(refused.place))}: {refused.reason}" for refused in sheet.refused())


def data(report: Report) -> dict[str, Any]:
    """The report as JSON-able data; times are ISO 8601 in UTC."""
    entries = [
        {"file": sheet.name, report.noun: row.place, **row.facts, **_outcome(row, report)}
        for sheet in report.sheets
        for row in sheet.rows
    ]
    return {
        "zone": report.tz,
        "summary": report.counts(),
        "files": [{"file": sheet.name, **sheet.facts, "notes": list(sheet.notes)} for sheet in report.sheets],
        "not_read": [{"file": item.name, "reason": item.why} for item in report.unread],
        report.plural(2).removeprefix("2 "): entries,
    }


def clean(text: str, width: int = WIDTH) -> str:
    """Text from the source, fit for a terminal."""
    text = _CONTROL.sub(" ", text)
    return text if len(text) <= width else text[: width - 1] + "…"


def _rows(sheet: Sheet, report: Report) -> Iterator[str]:
    zone = load(report.tz)
    cells = [_cells(row, report, zone) for row in sheet.rows]
    place, schedule, becomes = (max((len(row[at]) for row in cells), default=0) for at in (0, 1, 2))
    for row, (at, *shown, runs) in zip(sheet.rows, cells, strict=True):
        number = f"{at:>6}" if isinstance(row.place, int) else f"  {at:<{place}}"
        yield f"{number}  {shown[0]:<{schedule}}  {shown[1]:<{becomes}}  {runs}".rstrip()
        if row.detail:
            yield f"{'':>6}  {clean(row.detail)}"


def _cells(row: Row, report: Report, zone: tzinfo) -> tuple[str, str, str, str]:
    place = clean(str(row.place), 60)
    match row.result:
        case Taken() as taken:
            outcome = report.outcomes.get(taken.spec.name, "")
            job = f"{taken.spec.name} ({outcome})" if outcome else taken.spec.name
            return place, clean(row.schedule), job, _next(taken, report, zone)
        case Refused():
            return place, clean(row.schedule), "CAN'T BE TAKEN", ""
    return place, clean(row.schedule), clean(row.becomes, 50), ""


def _next(taken: Taken, report: Report, zone: tzinfo) -> str:
    when = taken.schedule.when
    if not taken.spec.enabled:
        return "disabled"
    runs, suffix = report.next_runs(taken.schedule), ""
    if isinstance(when, (Cron, RRule)) and when.tz != report.tz:
        zone, suffix = load(when.tz), f" {when.tz}"
    return ", ".join(_moment(ms, zone) for ms in runs) + suffix if runs else "never again"


def _moment(ms: int, zone: tzinfo) -> str:
    return datetime.fromtimestamp(ms / 1000, zone).strftime("%Y-%m-%d %H:%M" if ms % 60_000 == 0 else "%Y-%m-%d %H:%M:%S")


def _notes(report: Report) -> Iterator[str]:
    """Each thing worth knowing once, with the entries that it is about."""
    yield from report.reminders
    for sheet in report.sheets:
        yield from (f"{sheet.name}: {note}" for note in sheet.notes)
        about: dict[str, list[int | str]] = {}
        for taken in sheet.taken():
            for note in taken.notes:
                about.setdefault(note, []).append(taken.place)
        yield from (f"{sheet.name}:{_few(places)}: {note}" for note, places in about.items())


def _outcome(row: Row, report: Report) -> dict[str, Any]:
    match row.result:
        case Refused() as refused:
            return {"outcome": "refused", "reason": refused.reason}
        case Taken() as taken:
            return _job_data(taken, report)
    return {}


def _job_data(taken: Taken, report: Report) -> dict[str, Any]:
    spec, when = taken.spec, taken.schedule.when
    return {
        "outcome": report.outcomes.get(spec.name, "taken"),
        "job": spec.name,
        "task": spec.task,
        "pool": spec.pool,
        "priority": spec.priority,
        "owner": spec.owner,
        "labels": dict(spec.labels),
        "zone": when.tz if isinstance(when, (Cron, RRule)) else report.tz,
        **({"args": masked(taken.schedule.args)} if taken.schedule.args else {}),
        "kwargs": masked(taken.schedule.kwargs),
        "jitter": taken.schedule.jitter,
        "means": describe(when),
        "next": [iso(ms) for ms in report.next_runs(taken.schedule)],
        "notes": list(taken.notes),
    } | ({} if taken.since is None else {"since": iso(taken.since)})


def _titled(title: str, lines: Iterable[str]) -> Iterator[str]:
    found = list(lines)
    if found:
        yield title
        yield from (f"  {line}" for line in found)
        yield ""


def _few(places: list[int | str]) -> str:
    shown = ",".join(clean(str(place), 60) for place in places[:8])
    return shown if len(places) <= 8 else f"{shown} and {len(places) - 8} more"

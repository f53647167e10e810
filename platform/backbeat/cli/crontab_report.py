"""What the crontab importer says, as a table for people and as data for programs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Any

from backbeat.cli.crontab_sources import Untouched
from backbeat.core.crontab import Crontab, Parsed
from backbeat.core.crontab_jobs import SECRET, TASK, Refused, Taken
from backbeat.core.crontab_lines import Blank, Comment, Disabled, Entry, Env, Other
from backbeat.core.describe import describe
from backbeat.core.occurrence import upcoming
from backbeat.core.when import Cron, When, iso
from backbeat.core.zone import load

RUNS = 3
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(slots=True)
class Sheet:
    """One crontab and what becomes of its lines, by line number. `guessed`: its style was told by its text alone."""

    name: str
    crontab: Crontab
    results: dict[int, Taken | Refused]
    guessed: bool = False

    def taken(self) -> list[Taken]:
        """What can be taken, in the order of the file."""
        return [result for result in self.results.values() if isinstance(result, Taken)]

    def refused(self) -> list[Refused]:
        """What can't be taken, in the order of the file."""
        return [result for result in self.results.values() if isinstance(result, Refused)]

    def refuse(self, reasons: Mapping[str, str]) -> None:
        """Refuse jobs after all: name -> why."""
        for taken in self.taken():
            if taken.spec.name in reasons:
                self.results[taken.line] = Refused(taken.line, taken.text, reasons[taken.spec.name])


@dataclass(slots=True)
class Report:
    """Everything that one import has to say. `outcomes` maps a job's name to what happened to it in the database."""

    sheets: list[Sheet]
    tz: str
    now_ms: int
    untouched: list[Untouched] = field(default_factory=list)
    outcomes: dict[str, str] = field(default_factory=dict)
    can_run: bool = True
    """Whether the job that runs commands is defined here; not asked in a dry run."""
    _runs: dict[When, list[int]] = field(default_factory=dict)

    def refused(self) -> int:
        """How many lines can't be taken."""
        return sum(len(sheet.refused()) for sheet in self.sheets)

    def next_runs(self, when: When) -> list[int]:
        """The next three instants (epoch ms); a large crontab asks for the same ones over and over."""
        if when not in self._runs:
            self._runs[when] = upcoming(when, self.now_ms, RUNS)
        return self._runs[when]

    def counts(self) -> dict[str, int]:
        """How many lines there are of each kind."""
        lines = [line for sheet in self.sheets for line in sheet.crontab.lines]
        kinds = {"entries": Entry, "disabled": Disabled, "variables": Env, "comments": Comment, "blank": Blank}
        counted = {name: sum(isinstance(line, kind) for line in lines) for name, kind in kinds.items()}
        taken = sum(len(sheet.taken()) for sheet in self.sheets)
        return {"lines": len(lines), **counted, "taken": taken, "refused": self.refused()}


def table(report: Report) -> Iterator[str]:
    """The report in lines of text: each crontab, then what can't be taken, then what is worth knowing."""
    for sheet in report.sheets:
        yield f"{sheet.name}: {_style(sheet)}; times in {report.tz}"
        yield from _rows(sheet, report)
        yield ""
    yield from _titled("Can't be taken:", refusals(report))
    yield from _titled("Worth knowing:", _notes(report))
    yield from _titled("Not read:", (f"{item.name}: {item.why}" for item in report.untouched))


def refusals(report: Report) -> Iterator[str]:
    """`file:line: reason` for each line that can't be taken."""
    for sheet in report.sheets:
        yield from (f"{sheet.name}:{refused.line}: {refused.reason}" for refused in sheet.refused())


def data(report: Report) -> dict[str, Any]:
    """The report as JSON-able data; times are ISO 8601 in UTC."""
    return {
        "zone": report.tz,
        "summary": report.counts(),
        "files": [
            {"file": sheet.name, "style": sheet.crontab.style, "notes": list(sheet.crontab.notes)} for sheet in report.sheets
        ],
        "not_read": [{"file": item.name, "reason": item.why} for item in report.untouched],
        "lines": [
            {"file": sheet.name, "line": line.line, **_line_data(line, sheet.results.get(line.line), report)}
            for sheet in report.sheets
            for line in sheet.crontab.lines
            if not isinstance(line, (Blank, Comment))
        ],
    }


def _rows(sheet: Sheet, report: Report) -> Iterator[str]:
    zone = load(report.tz)
    cells = [cell for line in sheet.crontab.lines if (cell := _cells(line, sheet.results.get(line.line), report, zone))]
    widths = [max((len(row[at]) for row in cells), default=0) for at in (0, 1)]
    for number, (schedule, becomes, runs, detail) in zip(_numbers(sheet), cells, strict=True):
        yield f"{number:>6}  {schedule:<{widths[0]}}  {becomes:<{widths[1]}}  {runs}".rstrip()
        if detail:
            yield f"{'':>6}  {detail}"


def _numbers(sheet: Sheet) -> list[int]:
    return [line.line for line in sheet.crontab.lines if not isinstance(line, (Blank, Comment))]


def _cells(line: Parsed, result: Taken | Refused | None, report: Report, zone: tzinfo) -> tuple[str, str, str, str] | None:
    match line:
        case Env():
            return f"{line.name}=", "(hidden)" if SECRET.search(line.name) else _cut(line.value, 50), "", ""
        case Disabled():
            return line.schedule, "disabled", "", _cut(line.command, 100)
        case Entry() if isinstance(result, Taken):
            return _taken_cells(line, result, report, zone)
        case Entry() | Other():
            return getattr(line, "schedule", "?"), "CAN'T BE TAKEN", "", _cut(line.text, 100)
    return None


def _taken_cells(line: Entry, taken: Taken, report: Report, zone: tzinfo) -> tuple[str, str, str, str]:
    when = taken.schedule.when
    runs, suffix = report.next_runs(when), ""
    if isinstance(when, Cron) and when.tz != report.tz:
        zone, suffix = load(when.tz), f" {when.tz}"
    shown = ", ".join(_moment(ms, zone) for ms in runs) + suffix if runs else "never again"
    outcome = report.outcomes.get(taken.spec.name, "")
    job = f"{taken.spec.name} ({outcome})" if outcome else taken.spec.name
    return line.schedule, job, shown, _cut(line.command, 100)


def _moment(ms: int, zone: tzinfo) -> str:
    return datetime.fromtimestamp(ms / 1000, zone).strftime("%Y-%m-%d %H:%M" if ms % 60_000 == 0 else "%Y-%m-%d %H:%M:%S")


def _notes(report: Report) -> Iterator[str]:
    """Each thing worth knowing once, with the lines that it is about."""
    if not report.can_run:
        yield f"no job {TASK!r} is defined here, so none of these can run: it comes with jobs/commands.py and `backbeat sync`."
    for sheet in report.sheets:
        yield from (f"{sheet.name}: {note}" for note in sheet.crontab.notes)
        about: dict[str, list[int]] = {}
        for taken in sheet.taken():
            for note in taken.notes:
                about.setdefault(note, []).append(taken.line)
        yield from (f"{sheet.name}:{_few(lines)}: {note}" for note, lines in about.items())


def _line_data(line: Parsed, result: Taken | Refused | None, report: Report) -> dict[str, Any]:
    found: dict[str, Any] = {"kind": type(line).__name__.lower(), "text": line.text}
    if isinstance(line, Env):
        found |= {"name": line.name, "value": line.value}
    if isinstance(line, (Entry, Disabled)):
        found |= {"schedule": line.schedule, "user": line.user, "command": line.command}
    if isinstance(result, Refused):
        found |= {"outcome": "refused", "reason": result.reason}
    if isinstance(result, Taken):
        found |= _job_data(result, report)
    return found


def _job_data(taken: Taken, report: Report) -> dict[str, Any]:
    spec, when = taken.spec, taken.schedule.when
    return {
        "outcome": report.outcomes.get(spec.name, "taken"),
        "job": spec.name,
        "task": spec.task,
        "pool": spec.pool,
        "owner": spec.owner,
        "labels": dict(spec.labels),
        "zone": when.tz if isinstance(when, Cron) else report.tz,
        "kwargs": dict(taken.schedule.kwargs),
        "jitter": taken.schedule.jitter,
        "means": describe(when),
        "next": [iso(ms) for ms in report.next_runs(when)],
        "notes": list(taken.notes),
    }


def _titled(title: str, lines: Iterable[str]) -> Iterator[str]:
    found = list(lines)
    if found:
        yield title
        yield from (f"  {line}" for line in found)
        yield ""


def _few(numbers: list[int]) -> str:
    shown = ",".join(map(str, numbers[:8]))
    return shown if len(numbers) <= 8 else f"{shown} and {len(numbers) - 8} more"


def _cut(text: str, width: int) -> str:
    text = _CONTROL.sub(" ", text)
    return text if len(text) <= width else text[: width - 1] + "…"


def _style(sheet: Sheet) -> str:
    columns = "a user's name before each command" if sheet.crontab.style == "system" else "no user column"
    guess = ", as its text suggests; --style overrules" if sheet.guessed else ""
    return f"{sheet.crontab.style} style ({columns}{guess})"

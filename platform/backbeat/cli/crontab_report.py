"""A crontab as the import report shows it: a row for each line that says something."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backbeat.cli.import_report import Row, Sheet, clean
from backbeat.core.crontab import Crontab, Parsed
from backbeat.core.crontab_jobs import SECRET
from backbeat.core.crontab_lines import Blank, Comment, Disabled, Entry, Env, Other
from backbeat.core.taking import Refused, Taken

_KINDS = {"entries": Entry, "disabled": Disabled, "variables": Env, "comments": Comment, "blank": Blank}


def sheet_of(name: str, crontab: Crontab, results: Mapping[int | str, Taken | Refused], *, guessed: bool) -> Sheet:
    """One crontab and what becomes of its lines, by line number. `guessed`: its style was told by its text alone."""
    rows = [_row(line, results.get(line.line)) for line in crontab.lines if not isinstance(line, (Blank, Comment))]
    counts = {"lines": len(crontab.lines)}
    counts |= {kind: sum(isinstance(line, form) for line in crontab.lines) for kind, form in _KINDS.items()}
    columns = "a user's name before each command" if crontab.style == "system" else "no user column"
    guess = ", as its text suggests; --style overrules" if guessed else ""
    title = f"{crontab.style} style ({columns}{guess})"
    return Sheet(name, title, rows, counts, tuple(crontab.notes), {"style": crontab.style})


def _row(line: Parsed, result: Taken | Refused | None) -> Row:
    facts: dict[str, Any] = {"kind": type(line).__name__.lower(), "text": line.text}
    match line:
        case Env():
            shown = "(hidden)" if SECRET.search(line.name) else clean(line.value, 50)
            return Row(line.line, f"{line.name}=", becomes=shown, facts=facts | {"name": line.name, "value": line.value})
        case Entry() | Disabled():
            facts |= {"schedule": line.schedule, "user": line.user, "command": line.command}
            detail = line.text if isinstance(result, Refused) else line.command
            becomes = "disabled" if isinstance(line, Disabled) else ""
            return Row(line.line, line.schedule, detail, result, becomes, facts)
        case Other():
            return Row(line.line, "?", line.text, result, facts=facts)
    return Row(line.line, "", facts=facts)

"""Crontabs as people have them: each is read whole, and every entry becomes a job or says why not.

`crontabs/` holds some in the manner of each family of cron; the reduced files of real projects lie beside the checkout,
and their cases are simply absent where that data is.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from backbeat.core.check import verify
from backbeat.core.crontab import Crontab, parse
from backbeat.core.crontab_jobs import Names, Refused, Taken, Taking, plan, split_percent
from backbeat.core.crontab_lines import Disabled, Entry, Env
from backbeat.core.occurrence import upcoming
from tests.conformance.cron_rows import rows

FOLDER = Path(__file__).parent / "crontabs"
REAL = {row["file"]: row for row in rows("crontabs.jsonl")}
NOW = 1_795_430_000_000


@dataclass(frozen=True)
class Expected:
    style: str
    taken: int
    refused: tuple[int, ...] = ()
    """Numbers of the lines that can't be taken."""


OURS = {
    "cronie-0hourly": Expected("system", 3),
    "debian-etc-crontab": Expected("system", 4),
    "debian-user-template": Expected("user", 4, (13,)),
    "freebsd-etc-crontab": Expected("system", 7),
    "latin-1": Expected("user", 1, (2,)),
    "mistakes": Expected("user", 2, (*range(1, 17), 18)),
    "openbsd-root": Expected("user", 5),
    "people-write-this": Expected("user", 13),
    "windows-editor": Expected("user", 2),
}


@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.iterdir()))
def test_a_crontab_of_each_family_becomes_what_its_table_says(name: str) -> None:
    crontab = parse((FOLDER / name).read_bytes().decode(errors="surrogateescape"))
    results = _planned(crontab)

    refused = {result.place: result.reason for result in results if isinstance(result, Refused)}
    assert crontab.style == OURS[name].style
    assert tuple(refused) == OURS[name].refused, refused
    assert len(results) - len(refused) == OURS[name].taken
    assert all(refused.values())


@pytest.mark.parametrize("file", sorted(REAL))
def test_every_line_of_a_real_crontab_is_what_it_was(file: str) -> None:
    row = REAL[file]

    crontab = parse(_text(row))

    assert crontab.style == row["style"]
    assert [_as_row(line) for line in crontab.lines] == [_wanted(line) for line in row["lines"]]


@pytest.mark.parametrize("file", sorted(REAL))
def test_every_entry_of_a_real_crontab_becomes_a_job_unless_it_is_a_template(file: str) -> None:
    row = REAL[file]
    crontab = parse(_text(row), row["style"])

    results = _planned(crontab)

    assert len(results) == sum(line["t"] == "entry" for line in row["lines"])
    templates = {number for number, line in enumerate(row["lines"], start=1) if line["t"] == "entry" and line.get("template")}
    assert {result.place for result in results if isinstance(result, Refused)} == templates
    entries = {entry.line: entry for entry in crontab.entries()}
    for result in results:
        if isinstance(result, Taken):
            _check_job(result, entries[result.place])


def _check_job(taken: Taken, entry: Entry) -> None:
    assert verify(taken.spec)
    assert len(upcoming(taken.schedule.when, NOW, 3)) == 3
    argv = taken.schedule.kwargs["argv"]
    assert (argv if isinstance(argv, str) else argv[-1]) == split_percent(entry.command)[0]


def _planned(crontab: Crontab) -> list[Taken | Refused]:
    results = list(plan(crontab, Taking(tz="Europe/Berlin", worker_user="worker"), Names()))
    names = [result.spec.name for result in results if isinstance(result, Taken)]
    assert len(names) == len(set(names))
    return results


def _text(row: dict[str, Any]) -> str:
    """The file as it was, but for the text of comments."""
    return "".join(_line_text(line) + "\n" for line in row["lines"])


def _line_text(line: dict[str, Any]) -> str:
    match line["t"]:
        case "blank":
            return ""
        case "comment":
            return "# some words"
        case "env":
            quote, equals = line.get("quote", ""), " = " if line.get("spaced") else "="
            return f"{line['name']}{equals}{quote}{line['value']}{quote}"
        case "other":
            return str(line["text"])
    fields = [*line["schedule"], *([line["user"]] if "user" in line else [])]
    blanks = line.get("ws") or [" "] * len(fields)
    behind = "#" if line["t"] == "disabled" else ""
    return behind + "".join(field + blank for field, blank in zip(fields, blanks, strict=True)) + line["command"]


def _as_row(line: object) -> tuple[Any, ...]:
    if isinstance(line, Env):
        return ("env", line.name, line.value)
    if isinstance(line, (Entry, Disabled)):
        return (type(line).__name__.lower(), line.schedule.split(), line.user, line.command)
    return (type(line).__name__.lower(),)


def _wanted(line: dict[str, Any]) -> tuple[Any, ...]:
    if line["t"] == "env":
        return ("env", line["name"], line["value"])
    if line["t"] in ("entry", "disabled"):
        return (line["t"], line["schedule"], line.get("user"), line["command"])
    return (line["t"],)

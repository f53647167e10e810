"""The audit as a page and as a summary. The page carries its styles, drawings and script in itself: no network is needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from jobs._environment_drawings import layers, treemap

STATES = {"sound": "sound", "editable": "editable", "unrecorded": "no RECORD", "damaged": "damaged"}
_TEMPLATE = Path(__file__).with_name("_environment_report.html")


def summary_of(files: list[dict[str, Any]], requirements: dict[str, Any], entry_points: list[dict[str, Any]]) -> dict[str, Any]:
    """The audit in numbers, and what is wrong by name."""
    damaged = [row["name"] for row in files if row["state"] == "damaged"]
    broken = [f"{row['name']}: {one}" for row in entry_points for one in row["broken"]]
    problems = len(damaged) + len(requirements["missing"]) + len(requirements["conflicts"]) + len(broken)
    return {
        "verdict": "sound" if not problems else f"{problems} problem{'' if problems == 1 else 's'}",
        "sound": not problems,
        "distributions": len(files),
        "files": sum(row["files"] for row in files),
        "checked": sum(row["checked"] for row in files),
        "bytes": sum(row["bytes"] for row in files),
        "damaged": damaged,
        "changed_files": sum(row["changed_count"] for row in files),
        "missing_files": sum(row["missing_count"] for row in files),
        "editable": [row["name"] for row in files if row["editable"]],
        "unrecorded": [row["name"] for row in files if row["state"] == "unrecorded"],
        "entry_points": sum(row["entry_points"] for row in entry_points),
        "broken_entry_points": broken,
        "requirements": len(requirements["edges"]),
        "missing_requirements": requirements["missing"],
        "conflicts": requirements["conflicts"],
        "cycles": requirements["cycles"],
        "depth": requirements["depth"],
    }


def html(
    files: list[dict[str, Any]], requirements: dict[str, Any], entry_points: list[dict[str, Any]], summary: dict[str, Any]
) -> str:
    """The whole page."""
    about = summary["about"]
    drawn, alone = layers(requirements["edges"], {row["name"]: row["state"] for row in files})
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=escape(f"Environment audit: {summary['verdict']}"),
        about=escape(f"{about['implementation']} {about['python']} on {about['system']}, {about['prefix']}"),
        verdict="Everything is sound" if summary["sound"] else escape(summary["verdict"]),
        tone="" if summary["sound"] else "bad",
        figures=_figures(summary),
        findings="".join([*_broken(entry_points), *_findings(files, requirements, sound=summary["sound"])]),
        treemap=treemap([(row["name"], row["bytes"], row["state"], size(row["bytes"])) for row in files]),
        graph_lead=escape(_graph_lead(requirements, alone)),
        graph=drawn,
        rows=_rows(files, Counter(needed for _, needed in requirements["edges"])),
        written=escape(about["written"]),
    )


def size(count: float) -> str:
    """Bytes as people say them."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.2f} GB"


def _figures(summary: dict[str, Any]) -> str:
    figures = (
        (f"{summary['distributions']:,}", "distributions"),
        (f"{summary['checked']:,}", "files compared"),
        (size(summary["bytes"]), "on disk"),
        (f"{summary['requirements']:,}", "requirements between them"),
        (f"{summary['depth']}", "levels deep"),
    )
    return "".join(f'<li class="panel"><b>{escape(number)}</b><span>{escape(what)}</span></li>' for number, what in figures)


def _broken(entry_points: list[dict[str, Any]]) -> Iterator[str]:
    for row in entry_points:
        for one in row["broken"]:
            yield _finding("", row["name"], f"has an entry point whose module is not there: {one}")


def _findings(files: list[dict[str, Any]], requirements: dict[str, Any], *, sound: bool) -> Iterator[str]:
    for row in files:
        if row["state"] == "damaged":
            names = [f"changed: {name}" for name in row["changed"]] + [f"missing: {name}" for name in row["missing"]]
            more = row["changed_count"] + row["missing_count"] - len(names)
            listed = "".join(f"<code>{escape(name)}</code>" for name in names)
            counts = f"{row['changed_count']} changed, {row['missing_count']} missing files"
            yield _finding(
                "", f"{row['name']} {row['version']}", counts, listed + (f"<code>… and {more} more</code>" if more else "")
            )
    for row in requirements["missing"]:
        yield _finding("", row["by"], f"needs {row['needs']}, which is not installed")
    for row in requirements["conflicts"]:
        yield _finding("", row["by"], f"needs {row['needs']}; installed is {row['installed']}")
    if sound:
        fine = (
            "Every recorded file is what its installer put there, every entry point's module is there, every requirement is met."
        )
        yield _finding("fine", "Nothing.", fine)
    for cycle in requirements["cycles"]:
        yield _finding("note", "A circle of requirements", " → ".join(cycle))
    for row in files:
        for note in row["notes"]:
            yield _finding("note", row["name"], note)
    for note in requirements["notes"]:
        yield _finding("note", "", note)


def _finding(tone: str, who: str, what: str, more: str = "") -> str:
    return f'<li class="panel {tone}"><b>{escape(who)}</b> {escape(what)}{more}</li>'


def _graph_lead(requirements: dict[str, Any], alone: int) -> str:
    roots = len(requirements["roots"]) - alone
    text = f"{roots} distributions on the left are needed by no other; what they need stands to their right."
    return text + (f" {alone} that neither need nor are needed are left out." if alone else "")


def _rows(files: list[dict[str, Any]], needed_by: Counter[str]) -> str:
    largest = max((row["bytes"] for row in files), default=0) or 1
    order = ("damaged", "unrecorded", "editable", "sound")
    rows = sorted(files, key=lambda row: (order.index(row["state"]), row["name"].lower()))
    return "".join(
        f"<tr><td>{escape(row['name'])}</td><td>{escape(row['version'])}</td>"
        f'<td><span class="state {row["state"]}">{STATES[row["state"]]}</span></td>'
        f'<td class="number">{row["checked"]:,}</td><td class="number">{needed_by[row["name"]]}</td>'
        f'<td class="size" data-sort="{row["bytes"]}"><span class="text">{size(row["bytes"])}</span>'
        f'<span class="bar" style="width:{60 * row["bytes"] / largest:.1f}%"></span></td></tr>'
        for row in rows
    )

"""The report over history: its figures, its plot as SVG, and a page that carries everything in itself."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import datetime
from html import escape
from pathlib import Path
from string import Template
from typing import Any

SHOWN = 20
WIDTH, _LEFT, _ROW, _BARS = 1000, 260, 22, 180
_TEMPLATE = Path(__file__).with_name("_history_report.html")
_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#6b706d}.good{fill:#2f8f6f}.bad{fill:#c0392b}.open{fill:#b9b6aa}"
    ".range{stroke:#6f93b5;stroke-width:6;stroke-linecap:round}.dot{fill:#234e70}.axis{stroke:#b9b6aa;stroke-width:1}"
)

Measures = Sequence[dict[str, Any]]


def summary_of(jobs: Measures, failed: Sequence[dict[str, Any]], hours: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The report in numbers."""
    runs, bad = sum(row["runs"] for row in jobs), sum(row["failed"] for row in jobs)
    return {
        "runs": runs,
        "jobs": len(jobs),
        "failed": bad,
        "failed_share": round(bad / runs, 4) if runs else 0.0,
        "slowest": [row["job"] for row in slowest(jobs)],
        "kinds_of_failure": len(failed),
        "busiest_hour": max(hours, key=_all, default={"hour": None})["hour"],
    }


def slowest(jobs: Measures) -> list[dict[str, Any]]:
    """The jobs whose runs work longest, by their 95th percentile."""
    started = [row for row in jobs if row["worked"] is not None]
    return sorted(started, key=lambda row: (-row["worked"]["p95"], row["job"]))[:SHOWN]


def plot(jobs: Measures, hours: Sequence[dict[str, Any]]) -> str:
    """Two drawings as one SVG file: runs an hour, and from p50 to p99 of the slowest jobs' working times."""
    rows = slowest(jobs)
    height = _BARS + 90 + _ROW * max(1, len(rows))
    parts = [*_bars(hours), *_ranges(rows, _BARS + 70)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="Runs an hour, and '
        f'working times of the slowest jobs"><style>{_STYLE}</style>{"".join(parts)}</svg>\n'
    )


def html(jobs: Measures, failed: Sequence[dict[str, Any]], summary: dict[str, Any], drawing: str) -> str:
    """The whole page."""
    figures = (
        (f"{summary['runs']:,}", "runs"),
        (f"{summary['jobs']:,}", "jobs"),
        (f"{summary['failed']:,}", "ended badly"),
        (f"{summary['failed_share']:.2%}", "of all"),
    )
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        about=escape(f"The last {summary['days']:g} days, written {summary['written']}"),
        figures="".join(f'<li class="panel"><b>{escape(number)}</b><span>{what}</span></li>' for number, what in figures),
        plot=drawing,
        failures="".join(map(_failure, failed)) or '<tr><td colspan="5">Nothing went wrong.</td></tr>',
        rows="".join(map(_measure, sorted(jobs, key=lambda row: (-row["runs"], row["job"])))),
    )


def seconds(value: float) -> str:
    """A length of time as people say it."""
    if value < 1:
        return f"{value * 1000:.0f} ms"
    return f"{value:.1f} s" if value < 120 else f"{value / 60:.1f} min" if value < 7200 else f"{value / 3600:.1f} h"


def _all(row: dict[str, Any]) -> int:
    return int(row["good"] + row["bad"] + row["open"])


def _bars(hours: Sequence[dict[str, Any]]) -> Iterator[str]:
    yield '<text x="0" y="14">Runs an hour (UTC)</text>'
    if not hours:
        yield '<text x="0" y="60">There were none.</text>'
        return
    first, last = (datetime.fromisoformat(hours[place]["hour"]) for place in (0, -1))
    count = int((last - first).total_seconds() // 3600) + 1
    step, most = WIDTH / max(count, 24), max(map(_all, hours))
    for row in hours:
        x = step * ((datetime.fromisoformat(row["hour"]) - first).total_seconds() // 3600)
        yield f"<g><title>{escape(row['hour'])}: {row['good']} good, {row['bad']} bad, {row['open']} open</title>"
        base = float(_BARS)
        for kind in ("good", "open", "bad"):
            size = row[kind] / most * (_BARS - 30)
            base -= size
            yield f'<rect class="{kind}" x="{x:.1f}" y="{base:.1f}" width="{max(0.5, step * 0.85):.1f}" height="{size:.1f}"/>'
        yield "</g>"
    yield f'<line class="axis" x1="0" y1="{_BARS}" x2="{WIDTH}" y2="{_BARS}"/>'
    yield f'<text x="0" y="{_BARS + 16}">{first:%d %b %H:00}</text>'
    yield f'<text x="{WIDTH}" y="{_BARS + 16}" text-anchor="end">{last:%d %b %H:00}, at most {most:,} an hour</text>'


def _ranges(rows: Measures, top: int) -> Iterator[str]:
    yield f'<text x="0" y="{top - 16}">Working times of the slowest jobs: p50 to p99, and a dot at p95 (logarithmic)</text>'
    times = [max(row["worked"][name], 0.001) for row in rows for name in ("p50", "p99")]
    low, high = (math.log10(min(times)), math.log10(max(times))) if times else (0.0, 1.0)
    room = (WIDTH - _LEFT - 90) / max(high - low, 0.3)
    for number, row in enumerate(rows):
        y = top + _ROW * (number + 0.5)
        x = {name: _LEFT + room * (math.log10(max(row["worked"][name], 0.001)) - low) for name in ("p50", "p95", "p99")}
        name = row["job"] if len(row["job"]) <= 40 else row["job"][:39] + "…"
        yield (
            f"<g><title>{escape(row['job'])}</title>"
            f'<text x="{_LEFT - 12}" y="{y + 4:.0f}" text-anchor="end">{escape(name)}</text>'
            f'<line class="range" x1="{x["p50"]:.1f}" y1="{y:.1f}" x2="{x["p99"] + 0.1:.1f}" y2="{y:.1f}"/>'
            f'<circle class="dot" cx="{x["p95"]:.1f}" cy="{y:.1f}" r="4"/>'
            f'<text x="{x["p99"] + 12:.1f}" y="{y + 4:.0f}">{seconds(row["worked"]["p95"])}</text></g>'
        )


def _failure(row: dict[str, Any]) -> str:
    cells = (row["job"], row["state"], row["error"], row["message"])
    told = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
    return f'<tr><td class="number">{row["count"]:,}</td>{told}</tr>'


def _measure(row: dict[str, Any]) -> str:
    cells = [f"{row['runs']:,}", f"{row['failed']:,}"]
    for what in ("waited", "worked"):
        cells += [seconds(row[what][name]) if row[what] else "" for name in ("p50", "p95", "p99", "max")]
    return f"<tr><td>{escape(row['job'])}</td>" + "".join(f'<td class="number">{cell}</td>' for cell in cells) + "</tr>"

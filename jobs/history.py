"""What this installation's own runs were like: how long they waited and worked, what failed, which jobs are slowest.

`dags/history_report.py` puts these jobs together. They read history by Django's ORM; docs/reference/history.md lists the
columns that stay.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from backbeat import current_run, job
from jobs._history_report import html, plot, summary_of
from jobs._history_tables import GOOD, table

MOST_JOBS = 500
PERCENTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


class BadPeriod(Exception):
    """The days to look back are not a number above zero."""


@job
def busiest(days: float = 7.0, *, most: int = MOST_JOBS) -> list[str]:
    """The names of the jobs that had runs in the last `days`, those with most runs first, at most `most`."""
    from django.db.models import Count

    rows = table("Run").filter(queued_at__gte=_since(days)).values("job").annotate(runs=Count("pk")).order_by("-runs", "job")
    names = [row["job"] for row in rows[: most + 1]]
    if len(names) > most:
        current_run().log.info("more than %d jobs had runs; the others are left out", most)
    return names[:most]


@job
def measure(name: str, days: float = 7.0, *, most: int = 100_000) -> dict[str, Any]:
    """Percentiles of one job's waiting and working times in seconds, over its newest `most` runs of the last `days`.

    Returns `{"job", "runs", "failed", "waited", "worked", "longest"}`; the two times are `{"p50", "p95", "p99", "max"}`, or
    None when no run has started, and `longest` is `{"run", "seconds"}`.
    """
    rows = table("Run").filter(job=name, queued_at__gte=_since(days)).order_by("-queued_at")
    columns = ("run_id", "state", "queued_at", "started_at", "finished_at")
    waited, worked, runs, failed, longest = [], [], 0, 0, None
    for run_id, state, queued, started, finished in rows.values_list(*columns)[:most].iterator():
        runs, failed = runs + 1, failed + (finished is not None and state not in GOOD)
        if started is not None:
            waited.append(max(0.0, (started - queued).total_seconds()))
        if started is not None and finished is not None:
            worked.append((finished - started).total_seconds())
            if longest is None or worked[-1] > longest["seconds"]:
                longest = {"run": run_id, "seconds": worked[-1]}
    return {
        "job": name, "runs": runs, "failed": failed, "waited": percentiles(waited), "worked": percentiles(worked),
        "longest": longest,
    }  # fmt: skip


@job
def failures(days: float = 7.0, *, most: int = 50) -> list[dict[str, Any]]:
    """What went wrong in the last `days`, most frequent first: `{"job", "state", "error", "count", "run", "message"}`.

    `run` and `message` are those of the newest run of each kind.
    """
    from django.db.models import Count

    bad = table("Run").filter(queued_at__gte=_since(days), finished_at__isnull=False).exclude(state__in=GOOD)
    # A node that never ran because of another one says nothing of its own.
    groups = bad.exclude(state="upstream_failed").values("job", "state", "error_type").annotate(count=Count("pk"))
    found = []
    for group in groups.order_by("-count", "job", "state", "error_type")[:most]:
        kind = {name: group[name] for name in ("job", "state", "error_type")}
        newest = bad.filter(**kind).order_by("-queued_at").values_list("run_id", "error_message", "reason").first()
        run_id, message, reason = newest or ("", "", "")
        about = {"job": group["job"], "state": group["state"], "error": group["error_type"], "count": group["count"]}
        found.append({**about, "run": run_id, "message": (message or reason)[:300]})
    return found


@job
def by_hour(days: float = 7.0) -> list[dict[str, Any]]:
    """Runs by the hour in which they were queued: `{"hour", "good", "bad", "open"}`, oldest first; empty hours are left out."""
    from django.db.models import Count, Q
    from django.db.models.functions import TruncHour

    over, good = Q(finished_at__isnull=False), Q(state__in=GOOD)
    counts = {"good": Count("pk", filter=over & good), "bad": Count("pk", filter=over & ~good), "all": Count("pk")}
    hours = table("Run").filter(queued_at__gte=_since(days)).annotate(hour=TruncHour("queued_at", tzinfo=UTC)).values("hour")
    rows = hours.annotate(**counts).order_by("hour")
    return [
        {"hour": row["hour"].isoformat(), "good": row["good"], "bad": row["bad"], "open": row["all"] - row["good"] - row["bad"]}
        for row in rows
    ]


@job
def write_report(
    measured: list[dict[str, Any]],
    failed: list[dict[str, Any]],
    hours: list[dict[str, Any]],
    days: float = 7.0,
    *,
    folder: str | None = None,
) -> dict[str, Any]:
    """Write `run-history.html`, with its plot also as `run-history.svg` and its figures as `.json`, each whole or not at all.

    They go to `folder`, by default `reports/` in BACKBEAT_HOME (`.backbeat`). Returns the summary with the paths.
    """
    target = Path(folder) if folder else Path(os.environ.get("BACKBEAT_HOME") or ".backbeat", "reports")
    target.mkdir(parents=True, exist_ok=True)
    summary = summary_of(measured, failed, hours) | {"days": days, "written": datetime.now(UTC).isoformat(timespec="seconds")}
    drawing = plot(measured, hours)
    paths = {
        "report": _written(target / "run-history.html", html(measured, failed, summary, drawing)),
        "plot": _written(target / "run-history.svg", drawing),
    }
    figures = {**summary, "measured": measured, "failures": failed, "hours": hours}
    paths["figures"] = _written(target / "run-history.json", json.dumps(figures, indent=2, ensure_ascii=False) + "\n")
    current_run().log.info("%d runs of %d jobs: %s", summary["runs"], summary["jobs"], paths["report"])
    return {**summary, **paths}


def percentiles(seconds: Sequence[float]) -> dict[str, float] | None:
    """p50, p95, p99 and the largest, each a value that was really measured (the nearest rank); None of nothing."""
    if not seconds:
        return None
    ordered = sorted(seconds)
    found = {name: ordered[math.ceil(part * len(ordered)) - 1] for name, part in PERCENTILES.items()}
    return {name: round(value, 6) for name, value in (found | {"max": ordered[-1]}).items()}


def _since(days: float) -> datetime:
    if not 0 < days <= 36_500:
        raise BadPeriod(f"days: expected a number above 0 and at most 36,500; got {days!r}.")
    return datetime.now(UTC) - timedelta(days=days)


def _written(path: Path, text: str) -> str:
    # Renamed into place: whoever opens the page meanwhile sees the last whole one.
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
    return str(path.absolute())

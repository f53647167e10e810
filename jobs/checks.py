"""Is everything well that this deployment needs? Each check is a job that returns what it found, or raises Unwell.

`dags/service_checks.py` makes a graph of those that `dags/service_checks.toml` lists.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from backbeat import current_run, job


class Unwell(Exception):
    """A check found something that needs a person."""


@job
def disk_free(path: str | None = None, *, least_mb: float = 500.0) -> dict[str, float]:
    """Whether the disk under a path (by default the deployment's state folder) has `least_mb` megabytes free."""
    place = Path(path or os.environ.get("BACKBEAT_HOME") or ".backbeat")
    if not place.exists():
        raise Unwell(f"path: there is no {str(place)!r} on this worker.")
    usage = shutil.disk_usage(place)
    free = round(usage.free / 1e6, 1)
    if free < least_mb:
        raise Unwell(f"{place}: {free:,} MB are free; {least_mb:,g} MB should be.")
    return {"free_mb": free, "used_share": round(usage.used / usage.total, 3)}


@job
def database_answers(alias: str = "default", *, within_ms: float = 1_000.0) -> dict[str, Any]:
    """Whether one of Django's databases answers a query within a time."""
    from django.db import DatabaseError, connections

    began = time.perf_counter()
    try:
        with connections[alias].cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        raise Unwell(f"{alias}: {str(error).strip()}.") from error
    took = round((time.perf_counter() - began) * 1000, 3)
    if took > within_ms:
        raise Unwell(f"{alias}: it took {took:,g} ms to answer; {within_ms:,g} ms would be well.")
    return {"alias": alias, "engine": connections[alias].vendor, "ms": took}


@job
def doctor(*, ignore: list[str] | None = None, timeout: float = 60.0) -> dict[str, Any]:
    """What `backbeat doctor` says: Redis, schedulers, keepers, history, broker, workers. `ignore` names checks that may fail."""
    words = [sys.executable, "-m", "backbeat.cli", "doctor", "-o", "json"]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=timeout, check=False)  # noqa: S603 - words of our own
    try:
        checks = json.loads(ended.stdout)["checks"]
    except ValueError:
        raise Unwell(f"backbeat doctor ended with exit code {ended.returncode}: {ended.stderr.strip()[-500:]}") from None
    bad = [check for check in checks if check["status"] != "ok" and check["name"] not in (ignore or ())]
    if bad:
        raise Unwell("; ".join(f"{check['name']}: {check['detail']}. {check['cure']}" for check in bad))
    return {"checks": len(checks), "ignored": [check["name"] for check in checks if check["status"] != "ok"]}


@job
def write_summary(results: dict[str, Any], *, folder: str | None = None) -> dict[str, Any]:
    """What a round of checks came to, as `service-checks.json` in `folder`, by default `reports/` in BACKBEAT_HOME.

    `results` has what each check returned, None for one that did not end well; why it did not stands with its own run.
    """
    target = Path(folder) if folder else Path(os.environ.get("BACKBEAT_HOME") or ".backbeat", "reports")
    target.mkdir(parents=True, exist_ok=True)
    unwell = sorted(name for name, result in results.items() if result is None)
    summary = {"written": datetime.now(UTC).isoformat(timespec="seconds"), "unwell": unwell, "results": results}
    path = target / "service-checks.json"
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    part.replace(path)
    current_run().log.info("%d checks, not well: %s", len(results), ", ".join(unwell) or "none")
    return {**summary, "path": str(path.absolute())}

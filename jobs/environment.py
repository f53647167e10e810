"""An audit of the running Python environment: every installed file against its recorded hash, and every requirement.

`dags/environment_audit.py` puts these jobs together; each of them is a plain function too.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from backbeat import current_run, job
from jobs._environment_entry_points import entry_points_of
from jobs._environment_files import LARGEST, checked_files, found_at
from jobs._environment_report import html, summary_of
from jobs._environment_requirements import Installed, examined


@job
def distributions(path: list[str] | None = None) -> list[dict[str, str]]:
    """The Python distributions that an import could reach, in the order of their names: `{"name", "version", "at"}`.

    `path` is a list of folders to look in, by default those of the running interpreter. Where two folders hold the same
    distribution only the first counts, as for an import.
    """
    folders = sys.path if path is None else path
    found: dict[str, dict[str, str]] = {}
    for one in metadata.distributions(path=folders):
        name = one.metadata["Name"]
        # A folder that only looks like an installation (an interrupted pip leaves them) has no name.
        if name:
            row = {"name": name, "version": one.version, "at": str(one.locate_file("").resolve())}  # type: ignore[attr-defined]
            found.setdefault(str(canonicalize_name(name)), row)
    current_run().log.info("%d distributions", len(found))
    return [found[key] for key in sorted(found)]


@job
def check_files(distribution: dict[str, str], *, largest: int = LARGEST) -> dict[str, Any]:
    """Compare every file of one distribution (a row of `distributions`) with the hash in its RECORD.

    Files above `largest` bytes are left out and counted. Returns counts and the names of what is missing or changed; an
    editable installation, or one without a RECORD, is described and is no error.
    """
    result = checked_files(found_at(distribution["name"], distribution["at"]), largest)
    log = current_run().log
    log.info("%s %s: %s, %d files checked", result["name"], result["version"], result["state"], result["checked"])
    for what in ("missing", "changed"):
        for name in result[what]:
            log.warning("%s: %s", what, name)
    return result


@job
def check_entry_points(distribution: dict[str, str]) -> dict[str, Any]:
    """Whether the module behind every entry point (commands and plug-ins) of one distribution is there, without importing it.

    Returns `{"name", "entry_points", "broken"}`, where `broken` names each one whose module can't be found.
    """
    result = entry_points_of(found_at(distribution["name"], distribution["at"]))
    for broken in result["broken"]:
        current_run().log.warning("%s: %s", distribution["name"], broken)
    return result


@job
def check_requirements(installed: list[dict[str, str]]) -> dict[str, Any]:
    """Whether every requirement of every distribution (rows of `distributions`) is met, with markers and extras respected.

    Returns `{"missing", "conflicts", "cycles", "edges", "notes", …}`.
    """
    rows = [Installed.read(found_at(row["name"], row["at"])) for row in installed]
    result = examined(rows)
    log = current_run().log
    log.info("%d requirements, %d missing, %d conflicts", len(result["edges"]), len(result["missing"]), len(result["conflicts"]))
    return result


@job
def write_report(
    files: list[dict[str, Any]], requirements: dict[str, Any], entry_points: list[dict[str, Any]], *, folder: str | None = None
) -> dict[str, Any]:
    """Write one self-contained HTML page and a JSON summary, each whole or not at all.

    They go to `folder`, by default `reports/` in BACKBEAT_HOME (`.backbeat`). Returns the summary with both paths.
    """
    home = Path(os.environ.get("BACKBEAT_HOME") or ".backbeat")
    target = Path(folder) if folder else home / "reports"
    target.mkdir(parents=True, exist_ok=True)
    about = {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "system": f"{platform.system()} {platform.machine()}",
        "prefix": sys.prefix,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    summary = summary_of(files, requirements, entry_points) | {"about": about}
    page = _written(target / "environment-audit.html", html(files, requirements, entry_points, summary))
    paths = {"report": str(page), "summary": str((target / "environment-audit.json").absolute())}
    _written(target / "environment-audit.json", json.dumps({**summary, **paths}, indent=2, ensure_ascii=False) + "\n")
    current_run().log.info("%s: %s", summary["verdict"], page)
    return {**summary, **paths}


def _written(path: Path, text: str) -> Path:
    # Renamed into place: whoever opens the page meanwhile sees the last whole one.
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
    return path.absolute()

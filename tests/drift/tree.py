"""The files of this repository, as the drift tests look at them."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("platform", "jobs", "dags", "webadmin", "tests", "benchmarks", "requirements")


def tracked() -> list[Path]:
    """Every file that is, or is about to be, in the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def modules(*folders: str) -> list[Path]:
    """The Python files below these folders, by default all of our sources; generated migrations left out."""
    places = [ROOT / folder for folder in folders or SOURCES]
    return [path for place in places for path in sorted(place.rglob("*.py")) if "migrations" not in path.parts]

"""The files of one installed distribution against its RECORD.

The format is defined at packaging.python.org, "Recording installed projects".
"""

from __future__ import annotations

import csv
import hashlib
import json
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

LARGEST = 256 * 1024 * 1024
SHOWN = 20
_CHUNK = 1024 * 1024


class NotInstalled(LookupError):
    """A distribution that was there when the list was made is gone."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One line of a RECORD. `hash` is `sha256=…`, empty for files that change by themselves, such as compiled ones."""

    name: str
    path: Path
    hash: str


def found_at(name: str, at: str) -> metadata.Distribution:
    """The distribution of this name in this folder. Raises NotInstalled."""
    for one in metadata.distributions(name=name, path=[at]):
        return one
    raise NotInstalled(f"{name} is not installed in {at} any more; list the distributions again.")


def checked_files(distribution: metadata.Distribution, largest: int = LARGEST) -> dict[str, Any]:
    """What became of the distribution's files: counts, and the first names of what is missing or changed."""
    base = Path(str(distribution.locate_file("")))
    result: dict[str, Any] = {
        "name": distribution.metadata["Name"], "version": distribution.version, "files": 0, "checked": 0, "bytes": 0,
        "unhashed": 0, "large": 0, "missing_count": 0, "changed_count": 0, "missing": [], "changed": [], "notes": [],
        "editable": _is_editable(distribution),
    }  # fmt: skip
    recorded = distribution.read_text("RECORD")
    if recorded is None:
        result["notes"].append("it has no RECORD: the system's package manager or an old tool installed it")
        return result | {"state": "unrecorded"}
    for line in _lines(recorded, base):
        _look(line, result, largest)
    if result["large"]:
        result["notes"].append(f"{result['large']} files are larger than {largest:,} bytes and were not read")
    if result["editable"]:
        result["notes"].append("installed editable: its code lies elsewhere and has no hashes")
    bad = result["missing_count"] or result["changed_count"]
    return result | {"state": "damaged" if bad else "editable" if result["editable"] else "sound"}


def _lines(recorded: str, base: Path) -> Iterator[Recorded]:
    for row in csv.reader(recorded.splitlines()):
        if row and row[0]:
            yield Recorded(row[0], base / row[0], row[1] if len(row) > 1 else "")


def _look(line: Recorded, result: dict[str, Any], largest: int) -> None:
    result["files"] += 1
    try:
        size = line.path.stat().st_size
    except OSError as error:
        # What has no hash may come and go: byte code that Python writes by itself.
        if line.hash:
            _found(result, "missing", line.name if isinstance(error, FileNotFoundError) else f"{line.name} ({error.strerror})")
        return
    result["bytes"] += size
    if not line.hash:
        result["unhashed"] += 1
    elif size > largest:
        result["large"] += 1
    else:
        _compare(line, result)


def _compare(line: Recorded, result: dict[str, Any]) -> None:
    algorithm, _, expected = line.hash.partition("=")
    if algorithm not in hashlib.algorithms_guaranteed or algorithm.startswith("shake"):
        result["notes"].append(f"{line.name}: unknown hash {algorithm!r}")
        return
    try:
        got = _digest(line.path, algorithm)
    except OSError as error:
        _found(result, "missing", f"{line.name} ({error.strerror})")
        return
    result["checked"] += 1
    if got != expected.rstrip("="):
        _found(result, "changed", line.name)


def _digest(path: Path, algorithm: str) -> str:
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return urlsafe_b64encode(digest.digest()).rstrip(b"=").decode()


def _found(result: dict[str, Any], what: str, name: str) -> None:
    result[f"{what}_count"] += 1
    if len(result[what]) < SHOWN:
        result[what].append(name)


def _is_editable(distribution: metadata.Distribution) -> bool:
    try:
        origin = json.loads(distribution.read_text("direct_url.json") or "{}")
    except ValueError:
        return False
    return bool(origin.get("dir_info", {}).get("editable"))

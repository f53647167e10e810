"""A graph made from a file: one node for each check in `service_checks.toml`, and a summary of them all.

The file is read when this module is imported. Every process must draw the same graph, so it depends on the file alone: not
on the environment, the clock, or what some service answers at that moment.
"""

from __future__ import annotations

import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

from backbeat import Cron, dag
from jobs import checks

FILE = Path(__file__).with_suffix(".toml")


class BadCheck(Exception):
    """The file has an entry that can't be made into a node."""


def _checks() -> list[dict[str, Any]]:
    found, known = tomllib.loads(FILE.read_text(encoding="utf-8")).get("check", []), set()
    for row in found:
        if row.keys() - {"id", "job", "with", "after"} or not {"id", "job"} <= row.keys():
            raise BadCheck(f"{FILE.name}: expected id and job, and perhaps with and after; got {', '.join(row)}.")
        for name in row.get("after", ()):
            if name not in known:
                raise BadCheck(f"{FILE.name}: check {row['id']!r} is after {name!r}, which is no check above it.")
        known.add(row["id"])
    return found


def _job(check: dict[str, Any]) -> Any:
    """`checks.disk_free` is `disk_free` of `jobs/checks.py`."""
    module, _, name = check["job"].rpartition(".")
    try:
        return getattr(import_module(f"jobs.{module}"), name)
    except (ImportError, AttributeError):
        raise BadCheck(f"{FILE.name}: check {check['id']!r} names {check['job']!r}, which is no job in jobs/.") from None


@dag("service_checks", schedule=Cron("20 * * * *", tz="UTC"), timeout="15m", owner="operations", labels={"kind": "check"})
def service_checks(folder: str | None = None) -> None:
    """Check the disk, the database and everything that `backbeat doctor` looks at; what to check stands in a file."""
    nodes: dict[str, Any] = {}
    for check in _checks():
        made = _job(check)(**check.get("with", {})).set(id=check["id"])
        nodes[check["id"]] = made.after(*(nodes[name] for name in check.get("after", ())))
    checks.write_summary(nodes, folder=folder).set(when="all_done")

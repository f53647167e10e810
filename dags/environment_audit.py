"""Audit the Python environment that the workers run in: every file against its recorded hash, every requirement."""

from __future__ import annotations

from backbeat import Cron, dag
from jobs import environment


@dag("environment_audit", schedule=Cron("0 5 * * *", tz="UTC"), owner="operations", labels={"kind": "audit"})
def environment_audit() -> None:
    """Hash every installed file, check every entry point and requirement, then write a report to `.backbeat/reports/`."""
    installed = environment.distributions()
    files = environment.check_files.map(installed, max_parallel=16)
    entry_points = environment.check_entry_points.map(installed, max_parallel=16)
    requirements = environment.check_requirements(installed)
    environment.write_report(files, requirements, entry_points)

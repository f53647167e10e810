"""A report over this installation's own runs: percentiles, failures, the slowest jobs, and a plot."""

from __future__ import annotations

from backbeat import Cron, dag
from jobs import history


@dag("history_report", schedule=Cron("0 6 * * 1", tz="UTC"), owner="operations", timeout="2h", labels={"kind": "report"})
def history_report(days: float = 7.0, folder: str | None = None) -> None:
    """Measure every job's runs of the last week and write the report to `.backbeat/reports/`."""
    measured = history.measure.map(history.busiest(days), days=days, max_parallel=4)
    history.write_report(measured, history.failures(days), history.by_hour(days), days, folder=folder)

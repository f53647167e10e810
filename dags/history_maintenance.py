"""Keep the history small and quick: what is older than the policy goes, and what it took is given back to the disk."""

from __future__ import annotations

from backbeat import Cron, Retry, dag
from jobs import maintenance


@dag(
    "history_maintenance",
    schedule=Cron("15 4 * * 0", tz="UTC"),
    retry=Retry(2, delay="5m", on=("OperationalError",)),  # a database that is busy now has time later
    timeout="6h",
    max_active=1,
    owner="operations",
    labels={"kind": "maintenance"},
)
def history_maintenance(keep_good_days: float = 90.0, keep_bad_days: float = 365.0, folder: str | None = None) -> None:
    """Measure, remove old rows table by table, VACUUM and ANALYZE, measure again, and write down what came of it."""
    before = maintenance.sizes()
    # One table after the other: on SQLite there is one writer at a time anyway.
    removed = maintenance.remove_old.map(
        ["Run", "DagRun", "Omission"], keep_good_days=keep_good_days, keep_bad_days=keep_bad_days, max_parallel=1
    ).after(before)
    tidied = maintenance.tidy().after(removed)
    after = maintenance.sizes().set(id="sizes_after").after(tidied)
    maintenance.write_summary(before, removed, tidied, after, folder=folder)

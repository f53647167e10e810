"""Back up a database every night, and trust the copy only after a restore: restored, counted, then old copies removed."""

from __future__ import annotations

from backbeat import Cron, Retry, dag
from jobs import backups


@dag(
    "nightly_backup",
    schedule=Cron("30 2 * * *", tz="UTC"),
    timeout="6h",
    owner="operations",
    labels={"kind": "backup"},
)
def nightly_backup(
    source: str = "default", folder: str | None = None, keep: int = 7, name: str = "nightly", tolerance: float = 0.01
) -> None:
    """Copy a database, restore the copy beside it, compare every table's rows, then rotate. The original is only read."""
    copy = backups.database(source, folder, keep=None, name=name, count_rows=True).set(retry=Retry(2, delay="5m"))
    scratch = backups.restore_scratch(copy, source)
    counted = backups.verify_counts(scratch, copy, tolerance=tolerance)
    # Whatever the comparison says, the scratch database goes.
    backups.drop_scratch(scratch).after(counted).set(when="all_done")
    # An older good copy is removed only once the new one is proven.
    backups.rotate(folder, keep=keep, name=name).after(counted)

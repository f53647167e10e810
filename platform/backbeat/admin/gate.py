"""The Gate port on Django's database: one row a run, which only a newer attempt may take over, and which remembers the end."""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import timedelta

from django.db import InterfaceError, OperationalError, connections, transaction
from django.db.models import Q
from django.utils import timezone

from backbeat.admin.models import Claim
from backbeat.conf import settings
from backbeat.runtime.ports import Entry

LOCK_TIMEOUT = "5s"
"""How long PostgreSQL waits for another attempt's row. A frozen process may hold it for ever; the run is then put off."""
FORGOTTEN_AT_ONCE = 1000


class DatabaseGate:
    """Rows of `Claim`. Safe in every process and thread that has a connection of its own."""

    unavailable: tuple[type[Exception], ...] = (OperationalError, InterfaceError)

    def __init__(self, using: str = "default") -> None:
        self.using = using

    def enter(self, run_id: str, fence: int, worker: str, before: int = 0) -> Entry:
        """As of Gate."""
        with transaction.atomic(using=self.using, durable=True):
            self._wait_no_longer()
            rows = Claim.objects.using(self.using)
            rows.bulk_create([Claim(run_id=run_id)], ignore_conflicts=True)
            mine = rows.filter(Q(done_at=None) | Q(fence__lte=before), run_id=run_id, fence__lt=fence)
            began = {"worker": worker, "began_at": timezone.now(), "done_at": None, "result": "", "output": ""}
            if mine.update(fence=fence, **began):
                return Entry(open=True)
            row = rows.get(run_id=run_id)
        return Entry(open=False, fence=row.fence, done=row.done_at is not None, result=row.result, output=row.output)

    def leave(self, run_id: str, fence: int, result: str, output: str) -> bool:
        """As of Gate."""
        mine = Claim.objects.using(self.using).filter(run_id=run_id, fence=fence, done_at=None)
        return mine.update(done_at=timezone.now(), result=result, output=output) == 1

    def done(self, run_id: str, fence: int) -> bool:
        """As of Gate."""
        return Claim.objects.using(self.using).filter(run_id=run_id, fence=fence, done_at__isnull=False).exists()

    def transaction(self) -> AbstractContextManager[object]:
        """As of Gate."""
        return transaction.atomic(using=self.using, durable=True)

    def forget(self) -> int:
        """Delete what began longer ago than BACKBEAT_CLAIM_RETENTION; returns how many rows that were."""
        rows = Claim.objects.using(self.using)
        old = rows.filter(began_at__lt=timezone.now() - timedelta(seconds=settings().claim_retention))
        return rows.filter(pk__in=list(old.values_list("pk", flat=True)[:FORGOTTEN_AT_ONCE])).delete()[0]

    def _wait_no_longer(self) -> None:
        # SQLite has a limit of its own, for every lock.
        if connections[self.using].vendor == "postgresql":
            with connections[self.using].cursor() as cursor:
                cursor.execute("SELECT set_config('lock_timeout', %s, true)", [LOCK_TIMEOUT])

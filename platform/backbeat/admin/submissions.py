"""The Submissions port: an outbox in Django's database, so that a run that was asked for is as durable as what it belongs to.

A row is written with the caller's transaction. After the commit the same process sends it; when it can't, or dies, a keeper
does. A sent row is sent once more after a pause, unless history knows its run by then, and goes: Redis itself may have lost
the last second, and for a run that it still knows the second time changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import asdict
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from backbeat.admin.models import Job, Run, Submission
from backbeat.admin.publishing import now_or_later
from backbeat.conf import settings
from backbeat.core.when import from_ms, to_ms
from backbeat.errors import BackbeatError, StoreUnavailable
from backbeat.runtime import ports
from backbeat.runtime.submissions import send
from backbeat.store.events import EventStreams
from backbeat.store.store import open_store

log = logging.getLogger(__name__)

AT_ONCE = 500
SENDER_HAS = timedelta(seconds=2)
"""How long the process that was asked has, before a keeper sends a row instead."""
SURE_AFTER = timedelta(seconds=10)
"""Redis writes to disk each second (`appendfsync everysec`); after this long it has."""


class DatabaseSubmissions:
    """Rows of `Submission`."""

    def add(self, asked: ports.Submission) -> None:
        """As of Submissions."""
        due = from_ms(asked.due) if asked.due is not None else None
        row = Submission(**asdict(asked) | {"due": due})
        with transaction.atomic():
            Submission.objects.bulk_create([row], ignore_conflicts=True)
            transaction.on_commit(lambda: now_or_later(lambda: _send(row), f"run {row.run_id}"), robust=True)

    def task_of(self, job: str) -> str | None:
        """As of Submissions."""
        return Job.objects.filter(name=job).values_list("task", flat=True).first()


def send_waiting() -> int:
    """What a keeper does: send what nobody sent, and once more what was sent a while ago. Raises redis' errors."""
    now = timezone.now()
    waiting = Submission.objects.filter(sent_at=None, asked_at__lt=now - SENDER_HAS).order_by("asked_at")
    sent = Submission.objects.filter(sent_at__lt=now - SURE_AFTER)
    return sum(_moved_on(row) for row in [*waiting[:AT_ONCE], *sent[:AT_ONCE]])


def _moved_on(row: Submission) -> bool:
    """Send a row, or take it out when its run has certainly arrived; False when neither could be done."""
    if _arrived(row):
        row.delete()
        return True
    if _old(row) and EventStreams(open_store().slots, "").backlog():
        # Sent or not? The ledger may have forgotten the end of such a run; history will tell when it has caught up.
        return False
    if not _sent_or_noted(row):
        return False
    if row.sent_at is not None:
        row.delete()
    return True


def _arrived(row: Submission) -> bool:
    return (row.sent_at is not None and _old(row)) or Run.objects.filter(pk=row.run_id).exists()


def _old(row: Submission) -> bool:
    return row.asked_at < timezone.now() - timedelta(seconds=settings().key_retention)


def waiting(jobs: Iterable[str]) -> int:
    """How many runs of these jobs were asked for and have not reached Redis yet."""
    return Submission.objects.filter(job__in=list(jobs), sent_at=None).count()


def unsent() -> tuple[int, int, str]:
    """How many runs that were asked for have not reached Redis, for how long (ms) the oldest, and why not if that is known."""
    rows = Submission.objects.filter(sent_at=None).order_by("asked_at")
    oldest = rows.first()
    if oldest is None:
        return 0, 0, ""
    return rows.count(), round((timezone.now() - oldest.asked_at).total_seconds() * 1000), oldest.error


def _sent_or_noted(row: Submission) -> bool:
    try:
        _send(row)
    except StoreUnavailable:
        raise
    except BackbeatError as error:
        if row.error != str(error):
            log.error("run %s can't be sent: %s", row.run_id, error)  # noqa: TRY400 - the sentence says it all
            Submission.objects.filter(pk=row.pk).update(error=str(error))
        return False
    return True


def _send(row: Submission) -> None:
    names = ("run_id", "job", "arguments", "delay", "priority", "queue", "reason", "results", "policies")
    due = to_ms(row.due) if row.due is not None else None
    send(ports.Submission(**{name: getattr(row, name) for name in names}, due=due))
    Submission.objects.filter(pk=row.pk).update(sent_at=timezone.now(), error="")

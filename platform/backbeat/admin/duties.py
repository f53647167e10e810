"""What a keeper does that begins in the database."""

from __future__ import annotations

from django.db import close_old_connections

from backbeat.admin.backfills import DatabaseBackfills
from backbeat.admin.gate import DatabaseGate
from backbeat.admin.submissions import send_waiting
from backbeat.runtime.backfill import BackfillKeeper
from backbeat.runtime.keeper import Duty
from backbeat.store.store import open_store

FORGET_EVERY = 60.0
SEND_EVERY = 1.0
BACKFILL_EVERY = 0.5


def database_duties() -> list[Duty]:
    """The duties of one keeper. Several keepers may do them at once."""
    backfills = BackfillKeeper(open_store(), DatabaseBackfills())
    return [
        Duty("claims", _forget, FORGET_EVERY),
        Duty("submissions", _send, SEND_EVERY),
        Duty("backfills", backfills.step, BACKFILL_EVERY),
    ]


def _forget() -> int:
    close_old_connections()
    return DatabaseGate().forget()


def _send() -> int:
    close_old_connections()
    return send_waiting()

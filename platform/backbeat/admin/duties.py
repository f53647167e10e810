"""What a keeper does that begins in the database."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from django.db import close_old_connections

from backbeat.admin.backfills import DatabaseBackfills
from backbeat.admin.gate import DatabaseGate
from backbeat.admin.submissions import send_waiting
from backbeat.runtime.backfill import BackfillKeeper
from backbeat.runtime.keeper import Duty
from backbeat.store.store import open_store

FORGET_EVERY = 60.0
SEND_EVERY = 2.0


def database_duties() -> list[Duty]:
    """The duties of one keeper. Several keepers may do them at once."""
    backfills = BackfillKeeper(open_store(), DatabaseBackfills())
    return [
        Duty("claims", DatabaseGate().forget, FORGET_EVERY),
        Duty("submissions", send_waiting, SEND_EVERY),
        Duty("backfills", backfills.step, backfills.pause),
    ]


def outliving_outages(duty: Duty) -> Duty:
    """The same duty, that asks for a new connection when the database closed the one that its thread had."""
    return replace(duty, step=_afresh(duty.step))


def _afresh(step: Callable[[], int]) -> Callable[[], int]:
    def stepped() -> int:
        close_old_connections()
        return step()

    return stepped

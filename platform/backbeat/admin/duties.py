"""What a keeper does in the database alone."""

from __future__ import annotations

from django.db import close_old_connections

from backbeat.admin.gate import DatabaseGate
from backbeat.runtime.keeper import Duty

FORGET_EVERY = 60.0


def database_duties() -> list[Duty]:
    """The duties of one keeper. Several keepers may do them at once."""
    return [Duty("claims", _forget, FORGET_EVERY)]


def _forget() -> int:
    close_old_connections()
    return DatabaseGate().forget()

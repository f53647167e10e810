"""Jobs that work in the database, and the points at which their process dies. A deployment of a test imports this module.

The key of a run names the point at which its first attempt is killed with SIGKILL; a key that names none lets it live.
"""

from __future__ import annotations

import os
import signal
from typing import Any

from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper

from backbeat import current_run, job
from backbeat.admin.gate import DatabaseGate
from backbeat.store.ledger import Ledger


class Doom:
    """Where this process dies, and whether it has come to the part that counts."""

    point = ""
    armed = False


def reach(point: str) -> None:
    """Die here, if this is the place."""
    if Doom.point == point:
        os.kill(os.getpid(), signal.SIGKILL)


def _deadly(cls: type, method: str, point: str, *, armed: bool = False) -> None:
    inner = getattr(cls, method)

    def call(*args: Any, **kwargs: Any) -> Any:
        if Doom.armed or not armed:
            reach(f"before-{point}")
        answer = inner(*args, **kwargs)
        if Doom.armed or not armed:
            reach(f"after-{point}")
        return answer

    setattr(cls, method, call)


_deadly(DatabaseGate, "enter", "enter")
_deadly(DatabaseGate, "transaction", "begin")
_deadly(DatabaseGate, "leave", "note")
_deadly(BaseDatabaseWrapper, "commit", "commit", armed=True)
_deadly(Ledger, "finish_node", "finish")

_enter = DatabaseGate.enter


def _entered(self: DatabaseGate, run_id: str, fence: int, *args: Any) -> Any:
    Doom.point, Doom.armed = (run_id.rpartition(":")[2] if fence == 1 else ""), False
    return _enter(self, run_id, fence, *args)


DatabaseGate.enter = _entered  # type: ignore[method-assign]


def effect() -> str:
    """One row more."""
    run = current_run()
    Doom.armed = True
    reach("before-effect")
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO effects (run_id, attempt) VALUES (%s, %s)", [run.id, run.attempt])
    reach("after-effect")
    return run.id


@job("exact.pay", transactional=True)
def pay() -> str:
    """The row and the note that it is done are one transaction."""
    return effect()


@job("exact.fail", transactional=True)
def fail() -> str:
    """The first attempt takes its row back."""
    effect()
    if current_run().attempt == 1:
        raise RuntimeError("not this time")
    return "second"


@job("exact.call", claim="database")
def call() -> str:
    """The row is written by itself, as a call to somewhere else would be."""
    return effect()

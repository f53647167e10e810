"""The database as the second gate: a newer attempt takes a run over, an older one finds that out, and what is done stays so."""

from __future__ import annotations

from datetime import timedelta

import psycopg
import pytest
from django.db import OperationalError
from django.utils import timezone

from backbeat.admin import gate as module
from backbeat.admin.gate import DatabaseGate
from backbeat.admin.models import Claim
from backbeat.runtime.ports import Entry

RUN = "billing.pay:42"
gate = DatabaseGate()


def test_an_attempt_enters_works_and_leaves(each_database: str) -> None:
    assert gate.enter(RUN, 1, "w@a") == Entry(open=True)
    assert not gate.done(RUN, 1)

    assert gate.leave(RUN, 1, '{"paid": 1}', "")

    assert gate.done(RUN, 1)
    assert gate.enter(RUN, 2, "w@b") == Entry(open=False, fence=1, done=True, result='{"paid": 1}')
    assert not gate.leave(RUN, 1, "again", "")


def test_a_newer_attempt_takes_over_and_the_older_one_cannot_leave(each_database: str) -> None:
    assert gate.enter(RUN, 1, "w@a").open
    assert gate.enter(RUN, 2, "w@b").open

    assert not gate.leave(RUN, 1, "stale", "")
    assert gate.enter(RUN, 1, "w@a") == Entry(open=False, fence=2)
    assert gate.leave(RUN, 2, "", "")


def test_what_a_transaction_does_goes_with_it(each_database: str) -> None:
    gate.enter(RUN, 1, "w@a")

    def work() -> None:
        with gate.transaction():
            assert gate.leave(RUN, 1, "", "")
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        work()

    assert not gate.done(RUN, 1)


def test_a_node_that_is_meant_to_run_again_does(each_database: str) -> None:
    gate.enter(RUN, 1, "w@a")
    gate.leave(RUN, 1, "first", "")

    assert gate.enter(RUN, 2, "w@a", before=1) == Entry(open=True)
    assert gate.leave(RUN, 2, "second", "")
    assert gate.enter(RUN, 3, "w@a", before=1) == Entry(open=False, fence=2, done=True, result="second")


def test_old_rows_are_forgotten(each_database: str) -> None:
    for number in range(3):
        gate.enter(f"{RUN}{number}", 1, "w@a")
    Claim.objects.filter(pk=f"{RUN}1").update(began_at=timezone.now() - timedelta(days=8))

    assert gate.forget() == 1

    assert set(Claim.objects.values_list("pk", flat=True)) == {f"{RUN}0", f"{RUN}2"}


def test_nobody_waits_for_ever_for_a_frozen_process(
    each_database: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    if each_database != "postgresql":
        return  # SQLite's own limit is for every lock alike
    monkeypatch.setattr(module, "LOCK_TIMEOUT", "100ms")
    gate.enter(RUN, 1, "w@a")

    with psycopg.connect(request.getfixturevalue("migrated_postgresql")) as frozen:
        frozen.execute("UPDATE backbeat_claim SET done_at = now()")
        with pytest.raises(OperationalError):
            gate.enter(RUN, 2, "w@b")
        frozen.rollback()

    assert gate.enter(RUN, 2, "w@b").open

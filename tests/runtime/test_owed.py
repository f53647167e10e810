"""What a pool process owes the ledger is paid by the next claim, or before it rests or does anything else."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from backbeat import conf, job
from backbeat.core.state import RunState
from backbeat.runtime import owed as module
from backbeat.runtime.claims import claimed
from backbeat.runtime.identity import INCARNATION
from backbeat.runtime.owed import KEEP_BACK, _paying, owed
from backbeat.store.ledger import Ending
from backbeat.store.store import Store, open_store
from tests.runtime.test_claims import submit
from tests.support.eventually import eventually
from tests.support.jobs import no_jobs

__all__ = ["no_jobs"]

pytestmark = pytest.mark.redis
DONE, NEXT = "jobs.pay:done", "jobs.pay:a"


@pytest.fixture
def store(redis_url: str, redis_broker_url: str) -> Iterator[Store]:
    with conf.override(redis_url=redis_url, broker_url=redis_broker_url):
        yield open_store()
    owed.ending, owed.busy = None, False


def owe(store: Store) -> None:
    store.ledger.submit(DONE, {"j": "jobs.pay", "n": "", "q": "default.p5", "tid": "t", "x": "[[],\t{}]"}, "message")
    claim = store.ledger.claim(DONE, INCARNATION, 30.0, "w")
    owed.owe(store.ledger, Ending(DONE, claim.attempt, RunState.SUCCEEDED, "{}"))


def test_the_next_claim_pays(store: Store) -> None:
    request = submit(store)
    owe(store)

    assert claimed(store, request, None).won

    assert owed.ending is None
    assert store.ledger.get(DONE) == {}
    assert store.ledger.get(NEXT)["s"] == "running"


def test_a_process_pays_before_it_rests(store: Store) -> None:
    owe(store)
    reading, writing = os.pipe()
    rests = threading.Thread(target=_paying(lambda: os.read(reading, 1) and None, reading))
    rests.start()

    eventually(lambda: store.ledger.get(DONE) == {}, within=5)

    os.write(writing, b"x")
    rests.join(5)
    assert not owed.busy, "the message came after more than the moment for which an end may wait"
    os.close(reading), os.close(writing)


@pytest.mark.usefixtures("no_jobs")
@pytest.mark.parametrize(
    ("task", "header", "paid"),
    [
        ("tests.owed", {"slot": 0}, False),
        ("tests.owed", {"slot": 0, "runs": "a\nb"}, True),
        ("tests.owed", None, True),
        ("celery.backend_cleanup", {"slot": 0}, True),
    ],
)
def test_only_a_message_that_makes_a_claim_may_bring_the_end_along(
    store: Store, task: str, header: dict[str, object] | None, paid: bool
) -> None:
    @job("tests.owed")
    def nothing() -> None:
        pass

    owe(store)
    reading, writing = os.pipe()
    os.write(writing, b"x")
    message = (module.__name__, (1, 0, None, (task, "id", {"backbeat": header}, b"", "", ""), {}))

    _paying(lambda: message, reading)()

    assert (owed.ending is None) is paid
    assert (store.ledger.get(DONE) == {}) is paid
    assert owed.busy
    os.close(reading), os.close(writing)


def test_an_end_may_wait_for_no_longer_than_in_the_batched_lane() -> None:
    from backbeat.runtime.group import KEEP_BACK as IN_A_BATCH

    assert KEEP_BACK <= IN_A_BATCH

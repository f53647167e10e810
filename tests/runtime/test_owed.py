"""What a pool process owes the ledger is paid by the next claim, or before it rests or does anything else."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from backbeat import conf, job
from backbeat.core.state import RunState
from backbeat.runtime import owed as module
from backbeat.runtime.claims import claimed, claimed_together
from backbeat.runtime.identity import INCARNATION
from backbeat.runtime.owed import KEEP_BACK, _paying, owed
from backbeat.store.ledger import Ending
from backbeat.store.store import Store, open_store
from tests.runtime.test_claims import submit
from tests.support.eventually import eventually
from tests.support.jobs import no_jobs
from tests.support.servers import RedisServer

__all__ = ["no_jobs"]

pytestmark = pytest.mark.redis
DONE, NEXT = "jobs.pay:done", "jobs.pay:a"


@pytest.fixture
def store(redis_url: str, redis_broker_url: str) -> Iterator[Store]:
    with conf.override(redis_url=redis_url, broker_url=redis_broker_url):
        yield open_store()
    owed.settle()
    owed.busy = False


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


def receive(task: str, header: dict[str, object] | None) -> None:
    """The process's next message is there at once."""

    @job("tests.owed")
    def nothing() -> None:
        pass

    reading, writing = os.pipe()
    os.write(writing, b"x")
    message = (module.__name__, (1, 0, None, (task, "id", {"backbeat": header}, b"", "", ""), {}))
    _paying(lambda: message, reading)()
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
    owe(store)

    receive(task, header)

    assert (owed.ending is None) is paid
    assert (store.ledger.get(DONE) == {}) is paid
    assert owed.busy


def send(store: Store, runs: Sequence[str] = (DONE,)) -> None:
    endings = []
    for run_id in runs:
        store.ledger.submit(run_id, {"j": "jobs.pay", "n": "", "q": "default.p5", "tid": "t", "x": "[[],\t{}]"}, "message")
        claim = store.ledger.claim(run_id, INCARNATION, 30.0, "w")
        endings.append(Ending(run_id, claim.attempt, RunState.SUCCEEDED, "{}"))
    owed.send(store.ledger, endings)


def test_ends_that_were_sent_are_written_before_anybody_hears_the_answer(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    send(store, [DONE, "jobs.pay:b"])

    eventually(lambda: not store.ledger.get(DONE) and not store.ledger.get("jobs.pay:b"), within=5)
    assert owed

    owed.settle()
    assert not owed
    assert "taken over" not in caplog.text


def test_the_claim_of_a_message_with_many_runs_hears_the_answer(store: Store) -> None:
    request = submit(store)
    send(store)

    assert set(claimed_together(store, request, [request.id])) == {NEXT}

    assert not owed
    assert store.ledger.get(DONE) == {}


def test_an_answer_that_says_of_a_run_that_it_was_taken_over_is_told(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    send(store)
    owed.hear()
    owed.send(store.ledger, [Ending(DONE, 1, RunState.SUCCEEDED, "{}")])

    owed.hear()

    assert f"attempts of 1 runs were taken over; their outcomes are dropped: {DONE}" in caplog.text


def test_ends_whose_answer_is_lost_are_told_again_and_nobody_is_accused(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    send(store)
    eventually(lambda: not store.ledger.get(DONE), within=5)
    (waiting,) = store.slots.client.connection_pool._in_use_connections
    waiting.disconnect()

    owed.hear()

    assert not owed
    assert "taken over" not in caplog.text


def test_ends_that_the_server_refused_once_are_told_again(store: Store) -> None:
    # As a server that has become a replica, or has no memory left, refuses a script.
    store.ledger.submit(DONE, {"j": "jobs.pay", "n": "", "q": "default.p5", "tid": "t", "x": "[[],\t{}]"}, "message")
    claim = store.ledger.claim(DONE, INCARNATION, 30.0, "w")
    server = store.slots.client
    server.config_set("maxmemory", "1mb")
    try:
        owed.send(store.ledger, [Ending(DONE, claim.attempt, RunState.SUCCEEDED, "{}")])
        server.ping()
    finally:
        server.config_set("maxmemory", "0")
    assert store.ledger.get(DONE)["s"] == "running", "it was not refused"

    owed.hear()

    assert store.ledger.get(DONE) == {}


def test_ends_that_could_not_be_sent_are_told_when_the_server_is_back(tmp_path: Path) -> None:
    own = RedisServer(tmp_path)
    own.start()
    try:
        with conf.override(redis_url=own.url, broker_url=own.broker_url):
            store = open_store()
            send(store)
            owed.hear()
            submit(store)
            claim = store.ledger.claim(NEXT, INCARNATION, 30.0, "w")
            own.stop()
            owed.send(store.ledger, [Ending(NEXT, claim.attempt, RunState.SUCCEEDED, "{}")])
            own.start()

            owed.settle()

            assert not owed
            assert store.ledger.get(NEXT) == {}
    finally:
        own.stop()


@pytest.mark.usefixtures("no_jobs")
@pytest.mark.parametrize(
    ("task", "header", "heard"),
    [
        ("tests.owed", {"slot": 0}, True),
        ("tests.owed", {"slot": 0, "runs": "a\nb"}, False),
        ("tests.owed", None, True),
        ("celery.backend_cleanup", {"slot": 0}, True),
    ],
)
def test_only_a_message_with_many_runs_may_leave_an_answer_unheard(
    store: Store, task: str, header: dict[str, object] | None, heard: bool
) -> None:
    send(store)

    receive(task, header)

    assert bool(owed) is not heard


def test_an_end_may_wait_for_no_longer_than_in_the_batched_lane() -> None:
    from backbeat.runtime.group import KEEP_BACK as IN_A_BATCH

    assert KEEP_BACK <= IN_A_BATCH

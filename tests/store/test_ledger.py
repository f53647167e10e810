"""The run ledger: one winner a run, whoever dies, whatever is delivered twice."""

from __future__ import annotations

import json
from typing import Any

import pytest

from backbeat.core.state import RunState
from backbeat.core.template import Template
from backbeat.store.ledger import Ledger
from backbeat.store.store import Store

RUN = "jobs.pay:invoice-42"


def submit(store: Store, run_id: str = RUN, **fields: str) -> tuple[bool, str]:
    template = Template("jobs.pay")
    store.index.keep_template(run_id, template, template.task)
    base = {"j": "jobs.pay", "n": "", "q": template.queue, "tid": template.id, "x": "[[],{}]"}
    return store.ledger.submit(run_id, base | fields, "message")


def events(store: Store, run_id: str = RUN) -> list[str]:
    found = store.slots.client.xrange(store.slots.of(run_id).events)
    return [fields["k"] for _, fields in found if fields["r"] == run_id]


def told(store: Store, run_id: str = RUN) -> list[dict[str, str]]:
    return [fields for _, fields in store.slots.client.xrange(store.slots.of(run_id).events) if fields["r"] == run_id]


def outcomes(store: Store) -> dict[str, Any]:
    return {fields["k"]: json.loads(fields["outcome"]) for fields in told(store) if "outcome" in fields}


@pytest.fixture
def ledger(store: Store) -> Ledger:
    return store.ledger


def test_a_run_submitted_twice_under_one_key_is_one_run(store: Store) -> None:
    assert submit(store) == (True, "queued")
    assert submit(store) == (False, "queued")
    assert store.slots.client.llen("default.p5") == 1


def test_a_key_is_remembered_after_its_run_ended(store: Store) -> None:
    submit(store, ky="1")
    store.ledger.claim(RUN, "w", 30, "w1")
    store.ledger.finish(RUN, "w", 1, RunState.SUCCEEDED, {})

    assert submit(store, ky="1") == (False, "succeeded")


def test_the_second_claim_of_a_run_is_refused(store: Store, ledger: Ledger) -> None:
    submit(store)

    first, second = ledger.claim(RUN, "a", 30, "wa"), ledger.claim(RUN, "b", 30, "wb")

    assert first.won
    assert first.attempt == 1
    assert second.verdict == "running"


def test_a_claim_of_a_finished_run_creates_nothing(store: Store, ledger: Ledger) -> None:
    submit(store)
    ledger.claim(RUN, "a", 30, "wa")
    ledger.finish(RUN, "a", 1, RunState.SUCCEEDED, {})

    assert ledger.claim(RUN, "b", 30, "wb").verdict == "gone"
    assert ledger.get(RUN) == {}


def test_a_message_of_a_stock_producer_becomes_a_run_at_its_first_claim(ledger: Ledger) -> None:
    stock = {"j": "jobs.pay", "n": "", "q": "default.p5", "tid": "t", "x": "[[],{}]"}

    assert ledger.claim("0d1e", "a", 30, "wa", stock).won
    assert ledger.claim("0d1e", "b", 30, "wb", stock).verdict == "running"


def test_a_stale_attempt_cannot_finish_what_another_took_over(store: Store, ledger: Ledger) -> None:
    submit(store)
    ledger.claim(RUN, "a", 0.001, "wa")
    expired = [one for one in _reaped(ledger) if one.run_id == RUN]
    ledger.queue(expired[0], "again")
    ledger.claim(RUN, "b", 30, "wb")

    assert not ledger.finish(RUN, "a", 1, RunState.SUCCEEDED, {})
    assert ledger.finish(RUN, "b", 2, RunState.SUCCEEDED, {})


def test_a_stale_attempt_of_the_same_worker_is_fenced_by_its_number(store: Store, ledger: Ledger) -> None:
    submit(store)
    ledger.claim(RUN, "a", 0.001, "wa")
    ledger.queue(_reaped(ledger)[0], "again")
    ledger.claim(RUN, "a", 30, "wa")

    assert not ledger.finish(RUN, "a", 1, RunState.SUCCEEDED, {})


def test_a_failed_attempt_waits_on_the_time_index_and_comes_back(store: Store, ledger: Ledger) -> None:
    submit(store)
    ledger.claim(RUN, "a", 30, "wa")

    ledger.finish(RUN, "a", 1, RunState.FAILED, {"error": {"type": "E"}}, retry_in=0.001)
    (waiting,) = _reaped(ledger)
    ledger.queue(waiting, "again")

    assert waiting.state is RunState.RETRYING
    assert ledger.claim(RUN, "b", 30, "wb").attempt == 2
    assert events(store) == ["started", "retrying", "started"]


def test_a_run_lost_three_times_is_quarantined(store: Store, ledger: Ledger) -> None:
    submit(store)
    for _ in range(3):
        assert ledger.claim(RUN, "a", 0.001, "wa").won
        for waiting in _reaped(ledger, want=0):
            ledger.queue(waiting, "again")

    assert ledger.get(RUN)["s"] == "quarantined"
    assert ledger.claim(RUN, "b", 30, "wb").verdict == "quarantined"
    assert events(store)[-2:] == ["lost", "quarantined"]


def test_a_live_lease_is_never_reaped(store: Store, ledger: Ledger) -> None:
    submit(store)
    ledger.claim(RUN, "a", 30, "wa")

    assert ledger.reap(10, 0) == []
    assert ledger.get(RUN)["s"] == "running"


def test_an_expired_lease_is_left_alone_during_the_grace(store: Store, ledger: Ledger) -> None:
    submit(store)
    ledger.claim(RUN, "a", 0.001, "wa")
    store.slots.client.zadd(store.slots.of(RUN).timers, {RUN: store.slots.now_ms() - 500})

    assert ledger.reap(10, 5.0) == []
    assert ledger.get(RUN)["s"] == "running"


def test_a_heartbeat_renews_only_what_the_worker_holds(store: Store, ledger: Ledger) -> None:
    for run_id in (RUN, "jobs.pay:other"):
        submit(store, run_id)
    ledger.claim(RUN, "a", 1, "wa")
    ledger.claim("jobs.pay:other", "b", 1, "wb")

    held, cancelled = ledger.renew("a", [RUN, "jobs.pay:other", "jobs.pay:gone"], 30)

    assert (held, cancelled) == ({RUN}, set())
    assert float(store.slots.client.zscore(store.slots.of(RUN).timers, RUN)) > store.slots.now_ms() + 20_000


def test_a_claim_renews_only_what_it_won_itself(store: Store, ledger: Ledger) -> None:
    submit(store)
    won = ledger.claim(RUN, "a", 30, "wa", who="1.1")
    ledger.release(RUN, "a", won.attempt, {}, message="again")
    ledger.claim(RUN, "a", 30, "wa", who="1.2")

    assert ledger.renew("a", [RUN], 30, "1.1") == (set(), set()), "it came back to the same worker, by another message"
    assert ledger.renew("a", [RUN], 30, "1.2") == ({RUN}, set())
    assert ledger.renew("a", [RUN], 30) == ({RUN}, set())


def test_a_queued_run_is_cancelled_at_once_and_its_message_is_dropped(store: Store, ledger: Ledger) -> None:
    submit(store)

    assert ledger.cancel(RUN, "not needed") == "cancelled"
    assert ledger.claim(RUN, "a", 30, "wa").verdict == "gone"
    assert ledger.cancel(RUN, "again") == "gone"


def test_a_running_run_is_asked_to_stop_and_a_lost_one_that_was_asked_is_not_retried(store: Store, ledger: Ledger) -> None:
    submit(store)
    ledger.claim(RUN, "a", 0.001, "wa")

    assert ledger.cancel(RUN, "stop it") == "asked"
    assert _reaped(ledger, want=0) == []
    assert ledger.get(RUN) == {}
    assert events(store)[-1] == "finished"


def test_a_dead_child_is_found_at_once_and_why_it_died_is_told(store: Store, ledger: Ledger) -> None:
    submit(store)
    ledger.claim(RUN, "a", 30, "wa", who="17.1")

    assert ledger.lose(RUN, "a", 17, {"error": {"type": "Killed", "message": "signal 9"}})

    assert [one.state for one in ledger.reap(10, 0)] == [RunState.RETRYING]
    assert outcomes(store)["lost"]["error"]["message"] == "signal 9"


def test_the_death_of_a_child_that_held_a_duplicate_costs_nothing(store: Store, ledger: Ledger) -> None:
    submit(store)
    ledger.claim(RUN, "a", 30, "wa", who="17.1")

    assert not ledger.lose(RUN, "a", 18, {})

    assert ledger.reap(10, 0) == []


def test_a_claim_whose_answer_got_lost_is_won_when_it_is_asked_again(store: Store, ledger: Ledger) -> None:
    submit(store)
    first = ledger.claim(RUN, "a", 30, "wa", who="17.1")

    again, other = ledger.claim(RUN, "a", 30, "wa", who="17.1"), ledger.claim(RUN, "a", 30, "wa", who="17.2")

    assert (again.won, again.attempt) == (True, first.attempt)
    assert other.verdict == "running"


class TestARunGivenBack:
    def test_it_is_queued_at_once_and_counts_neither_as_a_failure_nor_as_a_loss(self, store: Store, ledger: Ledger) -> None:
        submit(store)
        ledger.claim(RUN, "a", 30, "wa")

        assert ledger.release(RUN, "a", 1, {"error": {"type": "Shutdown", "message": "bye"}}, "again") == 1

        run = ledger.get(RUN)
        assert (run["s"], run["b"], "l" in run, "h" in run) == ("queued", "1", False, False)
        assert store.slots.client.lrange("default.p5", 0, -1) == ["again", "message"]
        assert ledger.claim(RUN, "b", 30, "wb").attempt == 2
        assert outcomes(store)["released"]["error"]["message"] == "bye"

    def test_its_old_holder_can_end_it_no_more(self, store: Store, ledger: Ledger) -> None:
        submit(store)
        ledger.claim(RUN, "a", 30, "wa")
        ledger.release(RUN, "a", 1, {}, "again")

        assert not ledger.finish(RUN, "a", 1, RunState.SUCCEEDED, {})
        ledger.claim(RUN, "a", 30, "wa")
        assert not ledger.finish(RUN, "a", 1, RunState.SUCCEEDED, {})
        assert ledger.release(RUN, "a", 1, {}, "again") == 0

    def test_it_can_wait_on_the_time_index(self, store: Store, ledger: Ledger) -> None:
        submit(store)
        ledger.claim(RUN, "a", 30, "wa")

        ledger.release(RUN, "a", 1, {}, delay=0.001)

        assert [one.state for one in _reaped(ledger)] == [RunState.RETRYING]

    def test_its_attempts_go_on_where_somebody_else_remembers_them(self, store: Store, ledger: Ledger) -> None:
        submit(store)
        ledger.claim(RUN, "a", 30, "wa")

        assert ledger.release(RUN, "a", 1, {}, "message", at_least=7) == 1

        assert told(store)[-1][".a"] == "1", "what is told is told of the attempt that was given back"
        claim = ledger.claim(RUN, "b", 30, "wb")
        assert (claim.attempt, claim.fields["b"]) == (8, "7"), "none of them counts against the job"

    def test_one_that_was_asked_to_stop_is_cancelled(self, store: Store, ledger: Ledger) -> None:
        submit(store)
        ledger.claim(RUN, "a", 30, "wa")
        ledger.cancel(RUN, "enough")

        ledger.release(RUN, "a", 1, {}, "again")

        assert ledger.get(RUN) == {}
        assert events(store)[-1] == "finished"


def test_an_attempt_that_fails_after_it_was_asked_to_stop_is_cancelled_and_not_retried(store: Store, ledger: Ledger) -> None:
    submit(store)
    ledger.claim(RUN, "a", 30, "wa")
    ledger.cancel(RUN, "enough")

    assert ledger.finish(RUN, "a", 1, RunState.FAILED, {}, retry_in=0.001)

    assert told(store)[-1] | {"k": "finished", "state": "cancelled", "reason": "enough"} == told(store)[-1]


def test_an_attempt_that_succeeds_all_the_same_has_succeeded(store: Store, ledger: Ledger) -> None:
    submit(store)
    ledger.claim(RUN, "a", 30, "wa")
    ledger.cancel(RUN, "enough")

    ledger.finish(RUN, "a", 1, RunState.SUCCEEDED, {})

    assert told(store)[-1]["state"] == "succeeded"


def test_a_foreign_message_that_comes_twice_is_one_run_even_after_it_ended(store: Store, ledger: Ledger) -> None:
    stock = {"j": "jobs.pay", "n": "", "q": "default.p5", "tid": "t", "x": "[[],{}]", "ky": "1"}
    ledger.claim("0d1e", "a", 30, "wa", stock)
    ledger.finish("0d1e", "a", 1, RunState.SUCCEEDED, {})

    assert ledger.claim("0d1e", "b", 30, "wb", stock).verdict == "gone"


def test_progress_is_kept_for_the_attempt_that_holds_the_run(store: Store, ledger: Ledger) -> None:
    submit(store)
    ledger.claim(RUN, "a", 30, "wa")

    assert ledger.progress(RUN, "a", 1, 1 / 3, "a third")
    assert not ledger.progress(RUN, "b", 1, 0.9, "not mine")

    assert ledger.get(RUN)["pg"] == "0.3333 a third"


def test_a_run_past_its_start_deadline_expires_instead_of_starting(store: Store, ledger: Ledger) -> None:
    submit(store, dl=str(store.slots.now_ms() - 1))

    assert ledger.claim(RUN, "a", 30, "wa").verdict == "expired"
    assert events(store) == ["finished"]


def test_a_run_that_moved_since_it_was_seen_is_not_queued_again(store: Store, ledger: Ledger) -> None:
    submit(store)
    ledger.claim(RUN, "a", 30, "wa")
    ledger.finish(RUN, "a", 1, RunState.FAILED, {}, retry_in=0.001)
    (seen,) = _reaped(ledger)
    assert ledger.queue(seen, "again")

    assert not ledger.queue(seen, "and again")


def _reaped(ledger: Ledger, want: int = 1) -> list:
    """What the reaper finds once the millisecond leases of these tests have ended."""
    from tests.support.eventually import eventually

    if want:
        return eventually(lambda: ledger.reap(10, 0), within=3)
    before = ledger.slots.now_ms()
    eventually(lambda: ledger.slots.now_ms() > before + 5, within=3)
    return ledger.reap(10, 0)

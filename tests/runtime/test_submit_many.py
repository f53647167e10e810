"""Many runs that are asked for at once: few round trips, few messages where a job allows it, and each is one run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from backbeat import conf, job, submit, submit_many
from backbeat.core.message import group_of
from backbeat.core.state import RunState
from backbeat.errors import BadArguments, StoreUnavailable
from backbeat.store.store import Store, open_store
from tests.support.jobs import no_jobs
from tests.support.servers import RedisServer

__all__ = ["no_jobs"]


@pytest.fixture
def store(redis_server: RedisServer, redis_url: str, no_jobs: object) -> Iterator[Store]:
    @job("mail.send")
    def send(number: int, text: str = "") -> None: ...

    @job("mail.count", batch=100, overlap="allow", timeout=2)
    def count(number: int) -> None: ...

    with conf.override(redis_url=redis_server.url, broker_url=redis_server.broker_url):
        yield open_store()


def messages(store: Store, queue: str = "default.p5") -> list[dict[str, object]]:
    return [json.loads(text)["headers"] for text in store.slots.client.lrange(queue, 0, -1)[::-1]]


def carried(store: Store) -> list[list[str]]:
    return [group_of(headers["backbeat"]) or [str(headers["id"])] for headers in messages(store)]  # type: ignore[arg-type]


def test_each_call_is_a_run_of_its_own_in_the_order_of_the_calls(store: Store) -> None:
    run_ids = submit_many("mail.send", [[1], {"number": 2, "text": "two"}], keys=["a", "b"], priority=9, reason="a test")

    assert run_ids == ["mail.send:a", "mail.send:b"]
    assert [store.ledger.get(one)["x"] for one in run_ids] == ["[[1],\t{}]", '[[],\t{"number":2,"text":"two"}]']
    assert [headers["id"] for headers in messages(store, "default.p9")] == run_ids
    one = submit("mail.send", args=[1], key="c", priority=9, reason="a test")
    alike = [set(store.ledger.get(run_id)) for run_id in (*run_ids, one)]
    assert alike[0] == alike[1] == alike[2], "the ledger keeps of them what it keeps of any run"


def test_runs_of_a_batched_job_share_messages(store: Store) -> None:
    run_ids = submit_many("mail.count", [[number] for number in range(250)])

    assert carried(store) == [run_ids[:100], run_ids[100:200], run_ids[200:]]
    assert [headers["timelimit"] for headers in messages(store)] == [[200.0, None]] * 3
    won = store.ledger.claim_many(run_ids[:100], "w", 30, "w1", "1.1")
    assert [json.loads(claim.fields["x"])[0] for claim in won.values()] == [[number] for number in range(100)]


def test_ids_that_can_not_share_a_message_go_alone(store: Store) -> None:
    run_ids = submit_many("mail.count", [[1], [2], [3]], keys=["plain", 'a "quote"', "two\nlines"])

    assert carried(store) == [[one] for one in run_ids]


def test_many_who_ask_at_once_get_the_same_runs_once(store: Store) -> None:
    keys = [str(number) for number in range(500)]
    calls = [[number] for number in range(500)]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: submit_many("mail.count", calls, keys=keys), range(8)))

    assert all(one == answers[0] for one in answers)
    named = [run_id for group in carried(store) for run_id in group]
    assert set(named) == set(answers[0])
    won = [run_id for group in carried(store) for run_id in store.ledger.claim_many(group, "w", 30, "w1", f"1.{len(group)}")]
    assert len(set(won)) == 500
    assert len(named) == 500, "whoever came second had nothing to send"


def test_what_is_there_already_stays_as_it_is_and_the_others_are_made(store: Store) -> None:
    done, waits, *_ = submit_many("mail.send", [[1], [2]], keys=["1", "2"])
    store.ledger.claim(done, "w", 30, "w1")
    store.ledger.finish(done, "w", 1, RunState.SUCCEEDED, {})
    sent = len(messages(store))

    run_ids = submit_many("mail.send", [[10], [20], [30]], keys=["1", "2", "3"])

    assert run_ids[:2] == [done, waits]
    assert store.ledger.get(done) == {}, "a key stands for its run after the end as well"
    assert store.ledger.get(waits)["x"] == "[[2],\t{}]"
    assert [headers["id"] for headers in messages(store)[sent:]] == run_ids[2:]


def test_delayed_runs_wait_on_the_time_index(store: Store) -> None:
    (run_id,) = submit_many("mail.count", [[1]], delay=60)

    assert store.ledger.get(run_id)["s"] == "pending"
    assert messages(store) == []
    assert float(store.slots.client.zscore(store.slots.of(run_id).timers, run_id)) > store.slots.now_ms() + 50_000


def test_all_calls_are_checked_before_the_first_run_is_made(store: Store) -> None:
    with pytest.raises(BadArguments, match=r"calls\[1\]"):
        submit_many("mail.send", [[1], ["no number"]])
    with pytest.raises(BadArguments, match="expected one for each of 2 calls; got 1"):
        submit_many("mail.send", [[1], [2]], keys=["a"])

    assert messages(store) == []
    assert submit_many("mail.send", []) == []


def test_ten_thousand_runs_take_few_round_trips(store: Store) -> None:
    submit_many("mail.count", [[0]])
    before = asked(store)

    submit_many("mail.count", [[number] for number in range(10_000)])

    scripts = asked(store) - before
    assert scripts == 50
    assert len(messages(store)) == 101


def asked(store: Store) -> int:
    stats = store.slots.client.info("commandstats")
    return sum(int(stats[name]["calls"]) for name in ("cmdstat_evalsha", "cmdstat_eval") if name in stats)


def test_an_outage_is_told_in_our_words(store: Store) -> None:
    with conf.override(redis_url="redis://127.0.0.1:1/0", broker_url="redis://127.0.0.1:1/0"), pytest.raises(StoreUnavailable):
        submit_many("mail.send", [[1]])

"""Limits of a job: at most so many runs at once, at most so many starts in a time, and nobody who waits is forgotten."""

from __future__ import annotations

import pytest

from backbeat.core.state import LOSSES_BEFORE_QUARANTINE, RunState
from backbeat.store.store import Store
from tests.store.gate_runs import Site

pytestmark = pytest.mark.redis


@pytest.fixture
def two(store: Store) -> Site:
    """A job of which two runs may work at once: two do, one waits."""
    site = Site(store, max_concurrency=2)
    for name in ("a", "b", "c"):
        site.submit(name)
    for _ in range(3):
        site.claim(site.fetch() or "")
    return site


def test_one_too_many_is_put_aside_and_let_in_when_a_place_is_free(two: Site) -> None:
    assert two.state("job:c") == "pending"
    assert two.members("wait") == ["job:c"]
    assert two.fetch() is None

    two.finish("job:a")

    assert two.state("job:c") == "queued"
    assert two.fetch() == "job:c"
    assert two.claim("job:c").won
    assert two.members("hold") == ["job:b", "job:c"]


def test_a_newcomer_does_not_overtake_one_that_was_let_in(two: Site) -> None:
    two.finish("job:a")
    two.submit("d")

    assert two.claim("job:d").verdict == "waits"
    assert two.claim("job:c").won


@pytest.mark.parametrize("end", ["retry", "lose", "release", "cancel-asked", "quarantine", "expire"])
def test_however_an_attempt_ends_its_place_is_free(two: Site, end: str) -> None:
    ledger = two.store.ledger
    if end == "retry":
        two.finish("job:a", RunState.FAILED, retry_in=60)
    elif end == "lose":
        two.lose("job:a")
        ledger.reap(100, 0.0)
    elif end == "release":
        ledger.release("job:a", "w", 1, {}, delay=60)
    elif end == "cancel-asked":
        ledger.cancel("job:a", "enough")
        two.finish("job:a", RunState.FAILED)
    elif end == "quarantine":
        two.client.hset(two.store.slots.of("job").run("job:a"), "l", LOSSES_BEFORE_QUARANTINE - 1)
        two.lose("job:a")
        ledger.reap(100, 0.0)
    else:
        two.finish("job:a")
        two.client.hset(two.store.slots.of("job").run("job:c"), "dl", 1)
        two.submit("d")
        assert two.claim("job:d").verdict == "waits"
        assert two.claim("job:c").verdict == "expired"
        assert two.claim("job:d").won
        return

    assert two.claim("job:c").won


def test_one_that_waits_may_be_cancelled(two: Site) -> None:
    assert two.store.ledger.cancel("job:c", "enough") == "cancelled"

    two.finish("job:a")

    assert two.members("wait") == []
    assert two.members("hold") == ["job:b"]


def test_one_that_was_let_in_and_cancelled_gives_its_place_on(two: Site) -> None:
    two.submit("d")
    two.claim("job:d")
    two.finish("job:a")

    two.store.ledger.cancel("job:c", "enough")

    assert two.claim("job:d").won


def test_a_retry_that_comes_back_takes_a_place_again(two: Site) -> None:
    two.finish("job:a", RunState.FAILED, retry_in=0)
    two.claim("job:c")

    assert two.reap() == ["job:a"]
    assert two.claim("job:a").verdict == "waits"

    two.finish("job:c")

    assert two.claim("job:a").won


def test_a_claim_whose_answer_got_lost_holds_one_place(store: Store) -> None:
    site = Site(store, max_concurrency=2)
    site.submit("a")

    for _ in range(2):
        assert store.ledger.claim("job:a", "w", 30, "w", who="7.1").won

    assert site.members("hold") == ["job:a"]


def test_each_key_has_places_of_its_own(store: Store) -> None:
    site = Site(store, max_concurrency=1, concurrency_key="{tenant}")
    for name, tenant in (("a", "x"), ("b", "x"), ("c", "y")):
        site.submit(name, tenant=tenant)

    verdicts = [site.claim(f"job:{name}").verdict for name in "abc"]

    assert verdicts == ["claimed", "waits", "claimed"]
    assert (site.members("hold", "job:x"), site.members("wait", "job:x")) == (["job:a"], ["job:b"])
    assert site.members("hold", "job:y") == ["job:c"]


def test_a_higher_limit_lets_those_in_who_wait_already(two: Site) -> None:
    two.define(max_concurrency=5)
    two.submit("d")

    assert two.claim("job:d").won
    assert two.claim("job:c").won


def test_when_the_limit_is_taken_away_nobody_waits_any_more(two: Site) -> None:
    two.define()

    two.finish("job:a")

    assert two.claim("job:c").won
    assert two.members("wait") == []


def test_a_place_of_a_run_that_somebody_deleted_is_found(store: Store) -> None:
    site = Site(store, max_concurrency=1)
    for name in "ab":
        site.claim(site.submit(name))
    keys = store.slots.of("job")
    site.client.delete(keys.run("job:a"))
    site.client.zadd(keys.timers, {"job:b": 1})

    store.ledger.reap(100, 0.0)

    assert site.claim("job:b").won


def test_a_run_of_a_stock_producer_keeps_to_the_limit(two: Site) -> None:
    stock = {"j": "job", "n": "", "q": "default.p5", "tid": "t", "x": "[[],{}]"}

    first = two.store.ledger.claim("job:stock", "w", 30, "w", stock)
    again = two.store.ledger.claim("job:stock", "w", 30, "w", stock, gate='{"m":"job:stock"}')

    assert (first.verdict, again.verdict) == ("gated", "waits")
    assert two.state("job:stock") == "pending"


def test_what_is_too_fast_waits_on_the_time_index_for_its_token(store: Store) -> None:
    site = Site(store, rate="2/m", rate_burst=2)
    keys = store.slots.of("job")
    for name in "abcd":
        site.submit(name)

    verdicts = [site.claim(f"job:{name}").verdict for name in "abcd"]

    assert verdicts == ["claimed", "claimed", "waits", "waits"]
    now = store.slots.now_ms()
    targets = [int(site.store.ledger.get(f"job:{name}")["rt"]) - now for name in "cd"]
    assert 29_000 < targets[0] <= 30_000
    assert 59_000 < targets[1] <= 60_000
    assert site.client.zscore(keys.timers, "job:c") - now == pytest.approx(targets[0], abs=5)


def test_the_place_in_line_of_one_that_is_cancelled_is_not_lost(store: Store) -> None:
    site = Site(store, rate="1/m")
    for name in "abc":
        site.claim(site.submit(name))

    store.ledger.cancel("job:b", "enough")
    store.ledger.cancel("job:c", "enough")
    site.claim(site.submit("d"))

    assert int(store.ledger.get("job:d")["rt"]) - store.slots.now_ms() <= 60_000


def test_a_faster_rate_holds_for_those_who_wait_already(store: Store) -> None:
    site = Site(store, rate="1/h")
    for name in "abc":
        site.claim(site.submit(name))
    site.define(rate="100/s")

    for name in "bc":
        site.client.zadd(store.slots.of("job").timers, {f"job:{name}": 1})

    assert sorted(site.reap()) == ["job:b", "job:c"]


def test_one_that_is_looked_at_too_early_waits_on_and_is_not_sent(store: Store) -> None:
    site = Site(store, rate="1/h")
    for name in "ab":
        site.claim(site.submit(name))
    timers = store.slots.of("job").timers
    site.client.zadd(timers, {"job:b": 1})

    assert site.reap() == []
    assert site.client.zscore(timers, "job:b") > store.slots.now_ms() + 50_000


def test_one_that_waits_for_a_token_holds_no_place(store: Store) -> None:
    site = Site(store, max_concurrency=1, rate="1/h", rate_key="{tenant}")
    site.claim(site.submit("a", tenant="x"))
    site.finish("job:a")

    waits, other = site.claim(site.submit("b", tenant="x")), site.claim(site.submit("c", tenant="y"))

    assert (waits.verdict, other.verdict) == ("waits", "claimed")
    assert site.members("hold") == ["job:c"]


@pytest.mark.parametrize("burst", [1, 3])
def test_in_no_stretch_of_time_do_more_start_than_the_rate_and_one_burst(store: Store, burst: int) -> None:
    site = Site(store, rate="50/s", rate_burst=burst)
    for number in range(20 + burst):
        site.submit(f"r{number}")
    starts: list[int] = []

    while len(starts) < 20 + burst:
        site.reap()
        while (run_id := site.fetch()) is not None:
            claim = site.claim(run_id)
            if claim.won:
                starts.append(claim.now)

    spans = [(first, last) for first in range(len(starts)) for last in range(first, len(starts))]
    assert all(last - first + 1 <= burst + 1 + (starts[last] - starts[first]) / 20 for first, last in spans)
    assert starts[-1] - starts[0] < 2_000

"""A fired run stays packed from its claim to its end, and the end of one attempt travels with the claim of the next run."""

from __future__ import annotations

import json

import pytest

from backbeat.core.state import RunState
from backbeat.store.events import FRESH, EventStreams
from backbeat.store.ledger import Ending
from backbeat.store.store import Store
from tests.store.test_groups import fire


@pytest.fixture
def streams(store: Store) -> EventStreams:
    made = EventStreams(store.slots, "one")
    made.prepare()
    return made


def fired(store: Store, count: int) -> list[str]:
    return [str(message["headers"]["id"]) for message in fire(store, count, batch=1)]


def end_of(run_id: str, attempt: int = 1) -> Ending:
    return Ending(run_id, attempt, RunState.SUCCEEDED, json.dumps({"result": "1"}))


def test_an_end_travels_with_the_next_claim(store: Store) -> None:
    first, second = fired(store, 2)
    assert store.ledger.claim(first, "me", 30.0, "w", who="1.1").won

    claim = store.ledger.claim(second, "me", 30.0, "w", who="1.2", after=end_of(first))

    assert (claim.ended, claim.won) == (True, True)
    assert store.ledger.get(first) == {}
    assert store.ledger.get(second)["s"] == "running"


def test_a_claim_that_brings_an_end_tells_no_start_but_the_ends_tell_all(store: Store, streams: EventStreams) -> None:
    first, second, third = fired(store, 3)
    store.ledger.claim(first, "me", 30.0, "w", who="1.1")
    store.ledger.claim(second, "me", 30.0, "w", who="1.2", after=end_of(first))
    store.ledger.claim(third, "me", 30.0, "w", who="1.3", after=end_of(second))

    told = [one.fields for one in streams.read(100, 1)]
    assert [(one["k"], one["r"], one["state"], one[".a"]) for one in told] == [
        ("finished", run_id, "succeeded", "1") for run_id in (first, second)
    ]
    assert all(one[".st"] for one in told)


def test_a_run_that_lasts_tells_of_its_start_when_its_lease_is_renewed(store: Store, streams: EventStreams) -> None:
    first, second = fired(store, 2)
    store.ledger.claim(first, "me", 30.0, "w", who="1.1")
    claim = store.ledger.claim(second, "me", 30.0, "w", who="1.2", after=end_of(first))
    assert store.ledger.renew("me", [second], 30.0) == ({second}, set())
    assert store.ledger.renew("me", [second], 30.0) == ({second}, set())

    starts = [one.fields for one in streams.read(100, 1) if one.fields["k"] == "started"]
    assert [(one["r"], one[".st"]) for one in starts] == [(second, claim.fields["st"])]


def test_an_end_that_is_refused_does_not_keep_the_claim_from_being_won(store: Store) -> None:
    first, second = fired(store, 2)
    store.ledger.claim(first, "somebody else", 30.0, "w", who="1.1")

    claim = store.ledger.claim(second, "me", 30.0, "w", who="1.2", after=end_of(first))

    assert (claim.ended, claim.won) == (False, True)
    assert store.ledger.get(first)["s"] == "running"


def test_both_are_asked_again_of_a_server_that_forgot_its_scripts(store: Store) -> None:
    first, second = fired(store, 2)
    store.ledger.claim(first, "me", 30.0, "w", who="1.1")
    store.slots.client.script_flush()

    claim = store.ledger.claim(second, "me", 30.0, "w", who="1.2", after=end_of(first))

    assert (claim.ended, claim.won, store.ledger.get(first)) == (True, True, {})


def test_a_packed_run_tells_of_its_start_what_an_opened_one_tells(store: Store, streams: EventStreams) -> None:
    packed, opened = fired(store, 2)

    claims = [store.ledger.claim(packed, "me", 30.0, "w"), store.ledger.claim(opened, "me", 30.0, "w", canvas="{}")]

    keys = store.slots.of(packed)
    assert [store.slots.client.type(keys.run(one)) for one in (packed, opened)] == ["string", "hash"]
    told, of_opened = ({**one.fields} for one in streams.read(100, 1))
    assert set(told) == set(of_opened)
    differ = {name for name in told if told[name] != of_opened[name]}
    assert differ <= {"r", "t", ".c", ".x", ".st", ".sid"}
    assert {name: claims[0].fields[name] for name in "jnqac"} == {name: told["." + name] for name in "jnqac"}


@pytest.mark.parametrize("read", [False, True])
def test_its_end_takes_back_the_start_unless_that_was_read(store: Store, streams: EventStreams, read: bool) -> None:
    (run_id,) = fired(store, 1)
    store.ledger.claim(run_id, "me", 30.0, "w")
    before = [one.fields["k"] for one in streams.read(100, 1)] if read else []

    assert store.ledger.finish_many("me", [end_of(run_id), end_of(run_id)]) == {run_id}

    (ended,) = [one.fields for one in streams.read(100, 1)]
    assert before == ["started"] * read
    assert (ended["k"], ended["state"], ended[".a"], FRESH in ended) == ("finished", "succeeded", "1", not read)


def test_a_packed_run_that_is_given_back_is_claimed_again_as_its_second_attempt(store: Store) -> None:
    (run_id,) = fired(store, 1)
    store.ledger.claim(run_id, "me", 30.0, "w", who="1.1")
    assert store.ledger.release(run_id, "me", 1, {}, "again")

    claim = store.ledger.claim(run_id, "you", 30.0, "w", who="2.1")

    assert (claim.attempt, claim.fields["j"]) == (2, "lane.tiny")


def test_a_claim_whose_answer_was_lost_is_won_still(store: Store) -> None:
    (run_id,) = fired(store, 1)
    first = store.ledger.claim(run_id, "me", 30.0, "w", who="1.1")

    again = store.ledger.claim(run_id, "me", 30.0, "w", who="1.1")

    assert again.won
    assert {**first.fields} == {name: again.fields[name] for name in first.fields}

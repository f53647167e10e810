"""The end of an attempt takes the place of its start in the stream, unless a recorder has read that already."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from backbeat.core.state import RunState
from backbeat.runtime.recorder import first_heard_of
from backbeat.store.events import FRESH, EventStreams
from backbeat.store.store import Store

RUN = "j:a"


@pytest.fixture
def streams(store: Store) -> EventStreams:
    made = EventStreams(store.slots, "one")
    made.prepare()
    return made


def begin(store: Store) -> int:
    if not store.ledger.get(RUN):
        store.ledger.submit(RUN, {"j": "j", "n": "", "q": "default.p5", "tid": "t", "x": "[[],\t{}]"}, "m")
    return store.ledger.claim(RUN, "me", 30.0, "w").attempt


def end(store: Store, attempt: int, state: RunState = RunState.SUCCEEDED, retry_in: float | None = None) -> None:
    assert store.ledger.finish(RUN, "me", attempt, state, {"result": "1"}, retry_in)


def told(streams: EventStreams) -> list[Mapping[str, str]]:
    return [one.fields for one in streams.read(100, 1)]


def test_a_start_that_nobody_has_read_is_taken_back(store: Store, streams: EventStreams) -> None:
    end(store, begin(store))

    (only,) = events = streams.read(100, 1)
    assert (only.fields["k"], only.fields[".a"], FRESH in only.fields) == ("finished", "1", True)
    assert only.fields[".st"]
    assert first_heard_of(events) == {RUN}


def test_one_that_was_read_stays_though_its_reader_may_be_dead(store: Store, streams: EventStreams) -> None:
    attempt = begin(store)
    assert [fields["k"] for fields in told(streams)] == ["started"]

    end(store, attempt)

    assert [(fields["k"], FRESH in fields) for fields in told(streams)] == [("finished", False)]
    assert [one.fields["k"] for one in EventStreams(store.slots, "two").unfinished(100, 0)] == ["started", "finished"]


def test_without_a_recorder_nothing_is_taken_back(store: Store) -> None:
    end(store, begin(store))

    late = EventStreams(store.slots, "late")
    late.prepare()
    assert [fields["k"] for fields in told(late)] == ["started", "finished"]


def test_each_attempt_takes_back_its_own_start_alone(store: Store, streams: EventStreams) -> None:
    end(store, begin(store), RunState.FAILED, retry_in=0.0)
    (waiting,) = store.ledger.reap(100, 0.0)
    assert store.ledger.queue(waiting, "again")

    end(store, begin(store))

    events = streams.read(100, 1)
    assert [(one.fields["k"], one.fields[".a"]) for one in events] == [("started", "1"), ("retrying", "1"), ("finished", "2")]
    assert RUN not in first_heard_of(events[1:])


def test_a_run_that_was_given_back_keeps_the_start_of_that_attempt(store: Store, streams: EventStreams) -> None:
    assert store.ledger.release(RUN, "me", begin(store), {}, "again")
    end(store, begin(store))

    assert [fields["k"] for fields in told(streams)] == ["started", "released", "finished"]

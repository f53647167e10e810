"""Who waits for a slot is served by urgency, and a slot waits a moment for the next message of a more urgent queue."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from celery.worker import state as worker_state
from kombu.asynchronous.semaphore import LaxBoundedSemaphore

from backbeat.runtime.urgent import UrgentFirst, level_of


class Request(SimpleNamespace):
    """A message of a queue, as far as the line looks at it."""

    __hash__ = object.__hash__


class Slots:
    """One slot with its line; what began, in order."""

    def __init__(self) -> None:
        self.semaphore = LaxBoundedSemaphore(1)
        self.later: list[Callable[[], None]] = []
        self.line = UrgentFirst(self.semaphore, lambda _after, go: self.later.append(go))
        self.began: list[str] = []
        self.requests: list[Request] = []

    def come(self, queue: str) -> Request:
        request = Request(delivery_info={"routing_key": queue})
        self.requests.append(request)
        worker_state.reserved_requests.add(request)
        self.line.arrived(request)
        self.semaphore.acquire(lambda one: self.began.append(one.delivery_info["routing_key"]), request)
        return request

    def end(self, request: Request) -> None:
        self.semaphore.release()
        worker_state.reserved_requests.discard(request)
        self.line.ended(request)


@pytest.fixture
def slots() -> Iterator[Slots]:
    worker_state.reserved_requests.clear()
    yield Slots()
    worker_state.reserved_requests.clear()


def test_the_most_urgent_begins_and_then_the_oldest(slots: Slots) -> None:
    first = slots.come("a.p1")
    for queue in ("a.p1", "b.p5", "a.p9", "c.p5"):
        slots.come(queue)

    for _ in range(4):
        slots.end(next(one for one in slots.requests if one in worker_state.reserved_requests) if slots.began else first)
        for go in slots.later:
            go()
        slots.later.clear()

    assert slots.began == ["a.p1", "a.p9", "b.p5", "c.p5", "a.p1"]


def test_a_slot_waits_for_the_next_of_an_urgent_queue(slots: Slots) -> None:
    urgent = slots.come("a.p9")
    slots.come("a.p1")

    slots.end(urgent)
    slots.come("a.p9")

    assert slots.began == ["a.p9", "a.p9"]


def test_it_does_not_wait_for_long(slots: Slots) -> None:
    urgent = slots.come("a.p9")
    slots.come("a.p1")

    slots.end(urgent)
    (go,) = slots.later
    go()

    assert slots.began == ["a.p9", "a.p1"]


def test_after_one_that_is_not_more_urgent_nobody_waits(slots: Slots) -> None:
    first = slots.come("a.p1")
    slots.come("a.p1")

    slots.end(first)

    assert slots.began == ["a.p1", "a.p1"]
    assert not slots.later


@pytest.mark.parametrize(("info", "level"), [({"routing_key": "a.p0"}, 0), ({"routing_key": "celery"}, 5), (None, 5)])
def test_the_level_is_that_of_the_queue(info: Any, level: int) -> None:
    assert level_of(Request(delivery_info=info)) == level


def test_a_slot_does_not_wait_where_the_worker_asks_for_each_message(slots: Slots) -> None:
    slots.line.asks = True
    urgent = slots.come("a.p9")
    slots.come("a.p1")

    slots.end(urgent)

    assert slots.began == ["a.p9", "a.p1"]
    assert not slots.later


def test_what_is_taken_out_of_the_line_comes_in_the_order_of_its_turns(slots: Slots) -> None:
    slots.come("a.p5")
    for queue in ("a.p1", "b.p9", "a.p3", "b.p5"):
        slots.come(queue)

    gone = slots.line.withdraw(lambda request: request.delivery_info["routing_key"] != "a.p3")

    assert [one.delivery_info["routing_key"] for one in gone] == ["b.p9", "b.p5", "a.p1"]
    assert len(slots.line) == 1

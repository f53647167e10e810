"""From the ledger's events to rows: replays, crashes and several recorders at once give each run its row, once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import datetime
from typing import Any

import pytest
from django.db import OperationalError, connections
from django.db.models import Sum
from django.test import Client

from backbeat.admin.history import DatabaseHistory
from backbeat.admin.models import Attempt, Omission, Run
from backbeat.admin.templatetags import backbeat as tags
from backbeat.core.job import JobSpec, Schedule
from backbeat.core.state import RunState
from backbeat.core.when import Every, to_ms
from backbeat.runtime import recorder as recorder_module
from backbeat.runtime.duties import policies
from backbeat.runtime.firing import Firer
from backbeat.runtime.recorder import Recorder, event, first_heard_of, parted, without_echoes
from backbeat.runtime.recorder import ended as plain_end
from backbeat.store.events import EventStreams, RawEvent
from backbeat.store.leases import Leases
from backbeat.store.store import Store, open_store
from tests.admin.conftest import default_database
from tests.support.eventually import eventually
from tests.support.servers import RedisServer


@pytest.fixture
def store(redis: RedisServer) -> Store:
    found = open_store()
    found.index.put(JobSpec("j", "t"))
    return found


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of the dead are taken over at once."""
    monkeypatch.setattr(recorder_module, "DEAD_AFTER_MS", 0)


@pytest.fixture
def no_takeover(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody takes over what another one, or he himself, has at hand."""
    monkeypatch.setattr(recorder_module, "DEAD_AFTER_MS", 60_000)


def recorder(store: Store, name: str = "one", streams: type[EventStreams] = EventStreams) -> Recorder:
    made = Recorder(streams(store.slots, name), DatabaseHistory(), lambda run_id, tid: policies(store, run_id, tid))
    made.start()
    return made


def submitted(store: Store, *names: str) -> list[str]:
    template = store.index.template_of("j")
    assert template is not None
    ids = [f"j:{name}" for name in names]
    for run_id in ids:
        fields = {"j": "j", "n": "", "q": "default.p5", "tid": template.id, "x": '[[1],{"a":2}]'}
        store.ledger.submit(run_id, fields, "message")
    return ids


def begun(store: Store, run_ids: Sequence[str]) -> None:
    for run_id in run_ids:
        assert store.ledger.claim(run_id, "w", 30, "w@host").won


def ended(store: Store, run_ids: Sequence[str]) -> None:
    for run_id in run_ids:
        assert store.ledger.finish(run_id, "w", 1, RunState.SUCCEEDED, {"result": "42"})


def recorded() -> dict[str, list[dict[str, Any]]]:
    runs, attempts = Run.objects.order_by("pk"), Attempt.objects.order_by("run_id", "number")
    return {"runs": list(runs.values()), "attempts": [{**row, "id": 0} for row in attempts.values()]}


class Breaks(EventStreams):
    """Dies between the commit and the acknowledgement."""

    def done(self, events: Sequence[RawEvent]) -> None:
        raise ConnectionError("killed")


def test_what_was_committed_and_not_acknowledged_is_recorded_again_and_changes_nothing(each_database: str, store: Store) -> None:
    ids = submitted(store, "a", "b", "c")
    begun(store, ids)
    ended(store, ids[:2])
    with pytest.raises(ConnectionError):
        recorder(store, streams=Breaks).step(1)
    before = recorded()
    assert {run["run_id"]: run["state"] for run in before["runs"]} == {"j:a": "succeeded", "j:b": "succeeded", "j:c": "running"}

    assert recorder(store, "two").step(1) == 5

    assert recorded() == before
    assert EventStreams(store.slots, "x").backlog() == 0


def test_a_batch_that_is_told_twice_gives_the_same_rows(each_database: str, store: Store) -> None:
    ids = submitted(store, "a", "b")
    begun(store, ids)
    ended(store, ids)
    streams = [keys.events for keys in store.slots.all]
    told = [(stream, fields) for stream in streams for _, fields in store.slots.client.xrange(stream)]
    recorder(store).step(1)
    before = recorded()

    for stream, fields in told:
        store.slots.client.xadd(stream, fields)
    recorder(store).step(1)

    assert recorded() == before


def test_the_start_and_the_end_of_a_run_in_one_batch_or_two_give_the_same_rows(each_database: str, store: Store) -> None:
    ids = submitted(store, "together", "apart")
    begun(store, ids[1:])
    recorder(store).step(1)
    begun(store, ids[:1])
    ended(store, ids)
    recorder(store).step(1)

    apart, together = Run.objects.order_by("pk")
    for one in (apart, together):
        assert (one.state, one.attempts, one.worker, one.result) == ("succeeded", 1, "w@host", "42")
        assert (one.args, one.kwargs, one.task, one.pool) == ([1], {"a": 2}, "t", "default")
        assert one.queued_at <= one.started_at <= one.finished_at
        attempt = one.tries.get()
        assert (attempt.state, attempt.started_at, attempt.finished_at) == ("succeeded", one.started_at, one.finished_at)


def test_events_that_come_one_by_one_wait_for_each_other_and_share_a_connection(
    each_database: str, store: Store, no_takeover: None
) -> None:
    resting = Recorder(EventStreams(store.slots, "one"), DatabaseHistory(), lambda *_: {}, rest=0.5)
    resting.start()
    began = time.monotonic()

    counts, connected = [], set()
    for name in "abc":
        submitted(store, name)
        begun(store, [f"j:{name}"])
        counts.append(resting.step(1))
        connected.add(connections["default"].connection)
        ended(store, [f"j:{name}"])

    # The start of one is recorded with its end, which comes in the next batch.
    assert counts == [0, 2, 2]
    assert time.monotonic() - began > 2 * 0.5
    assert len(connected - {None}) == 1
    resting.step(1)
    assert set(Run.objects.values_list("state", flat=True)) == {"succeeded"}


def test_a_start_waits_for_one_batch_and_no_longer(each_database: str, store: Store, no_takeover: None) -> None:
    resting = Recorder(EventStreams(store.slots, "one"), DatabaseHistory(), lambda *_: {}, rest=0.01)
    resting.start()
    short, long = submitted(store, "short", "long")
    begun(store, [short, long])

    assert resting.step(1) == 0
    assert Run.objects.count() == 0
    ended(store, [short])
    assert resting.step(1) == 3

    assert dict(Run.objects.values_list("run_id", "state")) == {short: "succeeded", long: "running"}
    ended(store, [long])
    assert resting.step(1) == 1
    assert dict(Run.objects.values_list("run_id", "state")) == {short: "succeeded", long: "succeeded"}
    assert Attempt.objects.filter(state="succeeded").count() == 2
    assert EventStreams(store.slots, "x").backlog() == 0


def test_a_start_that_waited_when_its_recorder_died_is_recorded_by_another(each_database: str, store: Store) -> None:
    resting = Recorder(EventStreams(store.slots, "one"), DatabaseHistory(), lambda *_: {}, rest=0.01)
    resting.start()
    begun(store, submitted(store, "a"))
    assert resting.step(1) == 0

    assert recorder(store, "two").step(1) == 1

    assert Run.objects.get().state == "running"


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch, no_takeover: None) -> None:
    """Five events are a full batch."""
    monkeypatch.setattr(recorder_module, "A_STREAM", 5)
    monkeypatch.setattr(recorder_module, "BATCH", 5)


def test_two_recorders_share_the_work_and_every_run_has_one_row(
    each_database: str, store: Store, request: pytest.FixtureRequest, small_batches: None
) -> None:
    url = request.getfixturevalue("migrated_postgresql") if each_database == "postgresql" else None
    ids = submitted(store, *(f"{n:03d}" for n in range(150)))
    begun(store, ids)
    ended(store, ids)

    def work(name: str) -> int:
        with default_database(url) if url else nullcontext():
            one, done = recorder(store, name), 0
            while EventStreams(store.slots, name).backlog():
                done += one.step(1)
        connections.close_all()
        return done

    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(work, ("one", "two")))

    assert sum(done) == 300
    assert min(done) > 0
    assert dict(Run.objects.values_list("run_id", "state")) == dict.fromkeys(ids, "succeeded")
    assert Attempt.objects.count() == 150


class Watched(DatabaseHistory):
    """Tells before each batch is written how many events have been read, and fails when it is told to."""

    def __init__(self, streams: EventStreams, wanted: Sequence[int], fails_at: int = -1) -> None:
        super().__init__()
        self._streams, self._wanted, self._fails_at = streams, list(wanted), fails_at
        self.read: list[int] = []

    def write(self, batch: Any) -> None:
        wanted = self._wanted.pop(0) if self._wanted else 0
        eventually(lambda: self._pending() >= wanted, within=5)
        self.read.append(self._pending())
        if len(self.read) - 1 == self._fails_at:
            raise OperationalError("the database is away")
        super().write(batch)

    def _pending(self) -> int:
        slots = self._streams.slots
        return sum(slots.client.xpending(keys.events, "recorder")["pending"] for keys in slots.all)


def test_the_next_batch_is_read_while_a_full_one_is_written(each_database: str, store: Store, small_batches: None) -> None:
    streams = EventStreams(store.slots, "one")
    history = Watched(streams, [10, 7])
    one = Recorder(streams, history, lambda run_id, tid: policies(store, run_id, tid))
    one.start()
    ids = submitted(store, *(f"{n:03d}" for n in range(12)))
    begun(store, ids)
    ended(store, ids)

    counts = [one.step(1) for _ in range(4)]

    assert counts == [5, 5, 2, 0]
    assert history.read == [10, 7, 2]
    assert dict(Run.objects.values_list("run_id", "state")) == dict.fromkeys(ids, "succeeded")


def test_what_was_read_ahead_when_the_database_went_away_is_recorded_once_it_is_back(
    each_database: str, store: Store, small_batches: None
) -> None:
    streams = EventStreams(store.slots, "one")
    one = Recorder(streams, Watched(streams, [9], fails_at=0), lambda run_id, tid: policies(store, run_id, tid))
    one.start()
    ids = submitted(store, *(f"{n:03d}" for n in range(12)))
    begun(store, ids[:9])
    ended(store, ids[:9])
    with pytest.raises(OperationalError):
        one.step(1)
    begun(store, ids[9:])
    ended(store, ids[9:])

    while one.step(1):
        pass

    assert dict(Run.objects.values_list("run_id", "state")) == dict.fromkeys(ids, "succeeded")
    assert Attempt.objects.filter(state="succeeded").count() == 12
    assert streams.backlog() == 0


def test_occurrences_left_out_go_the_same_way_and_none_is_lost_on_it(each_database: str, store: Store) -> None:
    store.index.put_many([JobSpec("busy", "t", schedules=(Schedule(Every("1s")),))])
    overdue = store.slots.now_ms() // 1000 * 1000 - 3_600_000
    store.slots.client.zadd(store.slots.of("busy").due, {"busy": overdue})
    leases, firer = Leases(store.slots, "beat", 60).take(range(len(store.slots.all))), Firer(store)
    while firer.step(leases) == 0:
        pass
    with pytest.raises(ConnectionError):
        recorder(store, streams=Breaks).step(1)

    recorder(store, "two").step(1)

    # Only one occurrence became a run, for it holds the job's slot: every other one is left out, for one reason or another.
    following = store.index.next_times(["busy"])["busy"]
    assert following is not None
    omissions = Omission.objects.filter(job="busy")
    nominal = {to_ms(one.first) + n * 1000 for one in omissions for n in range(int((one.last - one.first).total_seconds()) + 1)}
    (fired,) = [key.partition("@")[2] for key in store.slots.client.keys("*:run:busy@*")]
    assert nominal | {to_ms(datetime.fromisoformat(fired))} == set(range(overdue, following, 1000))
    assert omissions.filter(reason="misfire").aggregate(Sum("count"))["count__sum"] >= 3_000
    assert Omission.objects.exclude(job="busy").count() == 0


def test_the_front_page_says_how_far_history_is_behind(
    each_database: str, store: Store, admin_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(store, submitted(store, "a", "b"))
    page = admin_client.get("/admin/").content.decode()
    assert "<strong>2</strong>events not in history yet</a>" in page

    monkeypatch.setattr(tags, "BEHIND_MS", -1)
    assert ">events not in history yet, the oldest for " in admin_client.get("/admin/").content.decode().replace("</strong>", ">")

    recorder(store).step(1)
    assert "<strong>0</strong>events not in history yet" in admin_client.get("/admin/").content.decode()


def raw(kind: str, run_id: str = "j:a", **fields: str) -> RawEvent:
    dotted = {f".{name}" if name not in ("state", "outcome", "reason") else name: value for name, value in fields.items()}
    return RawEvent("s", "1-0", {"k": kind, "r": run_id, "t": "1", **dotted})


def test_only_a_start_that_is_all_one_hears_of_its_run_waits() -> None:
    again, alone, with_end = (raw("started", f"j:{name}")._replace(id=f"{name}-0") for name in "123")
    end = raw("finished", "j:3")._replace(id="4-0")

    assert parted([again], [alone, with_end, end]) == ([again, with_end, end], [alone])
    assert parted([alone], []) == ([alone], [])


@pytest.mark.parametrize(
    ("event", "first"),
    [
        (raw("started", a="1"), True),
        (raw("started", a="2"), False),
        (raw("started", a="1", rs="1"), False),
        (raw("started", a="1", b="1"), False),
        (raw("started", a="1", l="1"), False),
        (raw("finished", a="1", state="succeeded"), False),
    ],
)
def test_what_is_first_heard_of_begins_its_first_attempt(event: RawEvent, first: bool) -> None:
    assert (first_heard_of([event]) == {"j:a"}) is first


def test_only_the_start_that_its_end_repeats_is_left_out() -> None:
    start, other, end = raw("started", a="1", st="5"), raw("started", a="2", st="9"), raw("finished", a="1", st="5")

    assert without_echoes([start, end, other]) == [end, other]
    assert without_echoes([start, raw("finished", a="1"), raw("lost", a="1", st="5")]) != [end]
    assert start in without_echoes([start, raw("finished", a="1")])


POLICY = {"task": "jobs.t", "pool": "p", "priority": 5}
END = {"a": "1", "state": "succeeded", "j": "j", "q": "p.p5", "w": "w@host", "c": "1790000000001", "st": "1790000000002"}


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"n": "1790000000000"},
        {"n": "1790000000000", "e": "1790000000001", "sid": "j#k"},
        {"n": "", "x": '[[1],{"a":2}]', "q": ""},
        {"outcome": '{"result":"42","log":"said"}'},
        {"outcome": "{}", "state": "failed"},
    ],
)
def test_a_plain_end_tells_what_the_event_tells(more: dict[str, str]) -> None:
    one = raw("finished", **END | more)

    told = plain_end(one, POLICY)

    assert told is not None
    assert told.event() == event(one, POLICY, first=True)


@pytest.mark.parametrize(
    "more",
    [
        {"outcome": '{"error":{"type":"OSError"}}'},
        {"outcome": '{"result":"42"} and more'},
        {"outcome": "no JSON"},
        {"outcome": "[]"},
        {"reason": "deadline"},
        {"d": "d:1", "nd": "n"},
        {"why": "asked"},
        {"a": "2"},
        {"l": "1"},
        {"state": "done"},
        {"state": "retrying"},
    ],
)
def test_an_end_that_tells_more_is_not_plain(more: dict[str, str]) -> None:
    assert plain_end(raw("finished", **END | more), POLICY) is None


def test_an_event_that_is_no_end_is_not_plain() -> None:
    assert plain_end(raw("started", **END), POLICY) is None

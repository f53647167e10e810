"""docs/reference/redis-keys.md lists every key that ever comes to be, with its type and its end, and no other."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest
import redis

from backbeat.core.calendar import Calendar
from backbeat.core.dag import Dag, Node, Ref
from backbeat.core.job import JobSpec, Overlap, Schedule
from backbeat.core.state import RunState
from backbeat.core.when import Every
from backbeat.runtime.dag_mend import rerun
from backbeat.store.slots import Slots
from backbeat.store.store import Store
from tests.core.graphs import of
from tests.drift.tree import ROOT
from tests.store.gate_runs import Site
from tests.store.graph_runs import RUN, run_all, start, take, work
from tests.support.deployment import Deployment
from tests.support.eventually import eventually
from tests.support.keyspace import Keyspace, Seen
from tests.support.servers import RedisServer

pytestmark = pytest.mark.redis

PAGE = ROOT / "docs" / "reference" / "redis-keys.md"
ROW = re.compile(r"^\| `([^`]+)` \| ([a-z ]+) \| .* \| ([^|]+) \|$", re.MULTILINE)
_SHAPES = {"<slot>": r"\d+", "<place>": r"\d+", "<priority>": r"\d", "<reply>": "[0-9a-f-]{36}"}

# What an app of somebody who comes from celery beat has: an entry in the settings, and one saved by RedBeat's own API.
BEAT = """
from celery.schedules import schedule
beat_schedule = {"static": {"task": "probe.work", "schedule": 1.0}}
"""
REDBEAT = """
import probe_app
from celery.schedules import schedule
from redbeat import RedBeatSchedulerEntry
RedBeatSchedulerEntry("saved", "probe.work", schedule(1.0), app=probe_app.app).save()
"""
WAITED_FOR = "import probe_app; from probe_jobs import work; work.delay().get(timeout=30)"


@dataclass(frozen=True)
class Row:
    """One row of the page."""

    pattern: str
    type: str
    lifetime: str

    @cached_property
    def regex(self) -> re.Pattern[str]:
        parts = re.split(r"(<[a-z]+>)", self.pattern)
        shapes = (_SHAPES.get(part, ".+") if part.startswith("<") else re.escape(part) for part in parts)
        return re.compile("".join(shapes) + r"\Z")

    def complaint(self, key: str, seen: Seen) -> str:
        """What the page says wrongly of a key; empty when it is right."""
        if seen.types - set(self.type.split(" or ")):
            return f"{key} is a {' and a '.join(sorted(seen.types))}, the page says {self.type}"
        if self.lifetime.startswith("fades") and not seen.ends:
            return f"{key} was given no end, the page says that it fades"
        if self.lifetime.startswith("stays") and seen.ends:
            return f"{key} was given an end, the page says that it stays"
        return ""


def rows() -> list[Row]:
    return [Row(*found) for found in ROW.findall(PAGE.read_text())]


def row_of(key: str, listed: list[Row]) -> Row | None:
    """The row that says most of the key literally."""
    fitting = [row for row in listed if row.regex.match(key)]
    return max(fitting, key=lambda row: len(re.sub(r"<[a-z]+>", "", row.pattern)), default=None)


@contextmanager
def own_server(folder: Path) -> Iterator[RedisServer]:
    """A server of its own: nothing of another test may be mistaken for ours."""
    server = RedisServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def seen(server_folder: Path) -> Iterator[dict[str, Seen]]:
    """Every key of a deployment that does all that it can."""
    folder = server_folder / "keys"
    folder.mkdir()
    with own_server(folder) as server, server.client() as client, Keyspace(client) as keyspace:
        _deployed(folder / "site", server, keyspace)
        _scripted(Store(Slots(client, "bb", 32, direct=True, key_ttl=60.0)))
        _sent_elsewhere(Store(Slots(client, "bb", 32, direct=False)))
        keyspace.caught_up()
        # Where tests/store/graph_runs.py puts the messages that start DAG runs.
        del keyspace.seen["starts"]
        yield keyspace.seen


def _deployed(folder: Path, server: RedisServer, keyspace: Keyspace) -> None:
    """Real processes: jobs that overlap and end, entries of others, a result that is waited for, a remote control."""
    folder.mkdir()
    site = Deployment(folder, server.url, BACKBEAT_RUN_LEASE="3s", BACKBEAT_REQUEUE_AFTER="5s")
    (folder / "celeryconfig.py").write_text(BEAT)
    every = Every("500ms")
    try:
        site.define(
            JobSpec("limited", "probe.work", schedules=(Schedule(every, max_runs=2),)),
            JobSpec("lined", "probe.work", schedules=(Schedule(every, kwargs={"seconds": 1.5}),), overlap=Overlap.QUEUE),
        )
        site.command(sys.executable, "-c", REDBEAT)
        for begin in (site.worker, site.beat, site.keeper):
            begin()
        run_id = site.submit("limited", "keyed")
        done = f"{site.store.slots.of(run_id).prefix}done:{run_id}"
        eventually(lambda: site.client.exists(done), within=60, message=site.story)
        eventually(lambda: _fired(site) >= {"limited", "lined", "redbeat.saved", "redbeat.static"}, within=60, message=site.story)
        site.command(sys.executable, "-c", WAITED_FOR)
        site.command(sys.executable, "-m", "celery", "-A", "probe_app", "inspect", "ping")
        # kombu looks for messages to redeliver every two seconds, and holds this key for no longer than the look takes.
        eventually(lambda: "unacked_mutex" in keyspace.seen, within=30, message=site.story)
    finally:
        site.stop()


def _fired(site: Deployment) -> set[str]:
    return {run_id.partition("@")[0] for run_id in site.effects("begin")}


def _scripted(store: Store) -> None:
    """What no process of the above happens to do: DAG runs of every kind, calendars, an entry that can't be read, limits."""
    store.slots.client.delete("default.p5")
    store.calendars.write([Calendar("holidays", ["12-25"])])
    store.index.park(0, "broken", "it can't be read")
    store.dags.publish(of(a=""))
    diamond = of(a="", b="a", c="a", d="b c")

    start(store, diamond, max_active=1)
    start(store, diamond, "g:2", max_active=1, message="its turn")
    store.dags.hold(RUN, on=True)
    work(store, take(store) or "")
    store.dags.hold(RUN, on=False)
    run_all(store, lambda node: RunState.FAILED if node == "b" else RunState.SUCCEEDED)
    rerun(store, RUN)
    run_all(store)

    mapped = Dag("g", (Node("many", "x", over=(1, 2, 3), max_parallel=1), Node("join", "x", (Ref("many"),))))
    start(store, mapped, "g:3")
    store.dags.put_items("g:3", 0, ["1", "2", "3"])
    store.dags.step("g:3", [("e", 0, 3)])
    run_all(store, lambda node: RunState.FAILED if node.startswith("many") else RunState.SUCCEEDED, run_id="g:3")
    rerun(store, "g:3")
    run_all(store, run_id="g:3")

    handed_on = Dag("g", (Node("first", "x"), Node("second", "x", (Ref("first"),))))
    start(store, handed_on, "g:4")
    run_all(store, run_id="g:4")

    start(store, of(a="", **{f"b{number}": "a" for number in range(9)}), "g:5", alone=True)
    run_all(store, run_id="g:5")

    limited = Site(store, max_concurrency=1, rate="100/s")
    for name in ("works", "waits"):
        limited.claim(limited.submit(name))


def _sent_elsewhere(store: Store) -> None:
    """A submission while the broker is another server."""
    store.ledger.submit("a:1", {"j": "a", "n": "", "q": "default.p5", "tid": "t", "x": "[[],\t{}]"}, "a message")


def test_the_page_can_be_read() -> None:
    patterns = [row.pattern for row in rows()]

    assert len(patterns) > 50
    assert len(patterns) == len(set(patterns)), "A key stands in two rows."
    assert len(patterns) == PAGE.read_text().count("\n| `"), "A row is not written like the others."


def test_every_key_that_comes_to_be_has_a_row(seen: dict[str, Seen]) -> None:
    listed = rows()

    unknown = sorted(key for key in seen if row_of(key, listed) is None)

    assert not unknown, f"Give these keys a row in {PAGE.name}: name, type, owner, lifetime: {unknown}"


def test_every_row_is_a_key_that_comes_to_be(seen: dict[str, Seen]) -> None:
    listed = rows()

    met = {row.pattern for key in seen if (row := row_of(key, listed)) is not None}

    unmet = [row.pattern for row in listed if row.pattern not in met]
    assert not unmet, f"Take these rows out of {PAGE.name}, or exercise what writes them in this test: {unmet}"


def test_types_and_ends_are_those_of_the_page(seen: dict[str, Seen]) -> None:
    listed = rows()

    wrong = {row.complaint(key, found) for key, found in seen.items() if (row := row_of(key, listed)) is not None} - {""}

    assert not wrong, f"Correct {PAGE.name}: {sorted(wrong)}"


@pytest.mark.parametrize(
    ("key", "pattern"),
    [
        ("{bb:7}:dag.o:g:1", "{bb:<slot>}:dag.o:<run>"),
        ("{bb:7}:dag.o:3:g:1", "{bb:<slot>}:dag.o:<place>:<run>"),
        ("{bb:7}:run:a:{b}", "{bb:<slot>}:run:<run>"),
        ("redbeat::lock", "redbeat::lock"),
        ("_kombu.binding.reply.celery.pidbox", "_kombu.binding.<queue>"),
        ("{bb:7}:invented", None),
        ("{other}:layout", None),
    ],
)
def test_a_key_belongs_to_the_row_that_says_most_of_it(key: str, pattern: str | None) -> None:
    found = row_of(key, rows())

    assert (found.pattern if found else None) == pattern


def test_a_key_that_lives_for_one_script_is_seen(redis_server: RedisServer, redis_client: redis.Redis) -> None:
    with Keyspace(redis_client) as keyspace:
        redis_client.eval("redis.call('RPUSH', 'brief', 1); redis.call('DEL', 'brief')", 0)
        redis_client.set("fading", 1, px=1000)
        keyspace.caught_up()

    assert keyspace.seen["brief"] == Seen({"list"})
    assert keyspace.seen["fading"] == Seen({"string"}, ends=True)

"""The store on a Redis Cluster of three masters: every question finds the master that has its keys, many at a time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis
from redis.crc import key_slot

from backbeat.core.job import JobSpec, Schedule
from backbeat.core.state import RunState
from backbeat.core.when import Every
from backbeat.store import health
from backbeat.store.cluster import Cluster, pool_of, servers
from backbeat.store.connect import connect
from backbeat.store.events import EventStreams
from backbeat.store.leases import Leases
from backbeat.store.ledger import Ending
from backbeat.store.scripts import run_many, script
from backbeat.store.slots import Slots
from backbeat.store.stands import stands
from backbeat.store.store import Store
from backbeat.store.vitals import Call
from tests.store.conftest import check_invariants
from tests.support.cluster import ClusterServers, running_cluster
from tests.support.processes import free_port
from tests.support.servers import RedisServer

pytestmark = pytest.mark.redis

JOBS = [f"job{number}" for number in range(16)]


@pytest.fixture(scope="module")
def cluster(server_folder: Path) -> Iterator[ClusterServers]:
    with running_cluster(server_folder, "cluster") as made:
        yield made


@pytest.fixture
def client(cluster: ClusterServers) -> Iterator[Cluster]:
    with connect(cluster.url) as made:
        assert isinstance(made, Cluster)
        for server in servers(made):
            server.flushall()
        yield made


@pytest.fixture
def parted(client: Cluster) -> Iterator[Store]:
    made = Store(Slots(client, "t", 16, direct=False, requeue_after=60.0, key_ttl=60.0))
    yield made
    check_invariants(made)


def lease(key: str) -> Call:
    return script("lease"), [key], ["holder", 30_000, "0"]


def keys_of_each(client: Cluster) -> list[str]:
    """One key for each master."""
    found = {pool_of(client, f"{{{number}}}"): f"{{{number}}}" for number in range(100)}
    assert len(found) == 3
    return sorted(found.values())


def test_a_pipeline_asks_every_master_and_answers_in_order(client: Cluster) -> None:
    names = keys_of_each(client)
    pipe = client.pipeline(transaction=False)
    for name in names * 2:
        pipe.hset(name, name, "1")
        pipe.hgetall(name)

    answers = pipe.execute()

    assert answers[1::2] == [{name: "1"} for name in names * 2]
    assert [server.dbsize() for server in servers(client)] == [1, 1, 1]


def test_a_transaction_is_one_in_its_slot_and_an_error_in_it_is_raised(client: Cluster) -> None:
    pipe = client.pipeline(transaction=True)
    pipe.set("{a}one", "1")
    pipe.hgetall("{a}two")
    assert pipe.execute() == [True, {}]

    pipe.set("{a}one", "2")
    pipe.hgetall("{a}one")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        pipe.execute()


def test_a_transaction_over_two_masters_is_refused(client: Cluster) -> None:
    one, other, _ = keys_of_each(client)
    pipe = client.pipeline(transaction=True)
    pipe.set(one, "1")
    pipe.set(other, "1")

    with pytest.raises(ValueError, match="one slot"):
        pipe.execute()

    assert [server.dbsize() for server in servers(client)] == [0, 0, 0]


def test_scripts_for_every_master_travel_together_and_are_taught_where_they_are_unknown(client: Cluster) -> None:
    names = keys_of_each(client)
    for server in servers(client):
        server.script_flush()

    answers = run_many(client, [lease(name) for name in names * 2])

    assert [fence for _, fence, *_ in answers] == [1] * 6


def test_a_conversation_with_several_masters_keeps_the_order_of_the_questions(parted: Store, client: Cluster) -> None:
    names = keys_of_each(client)
    for server in servers(client):
        server.script_flush()

    with parted.index.conversation() as talk:
        for name in names * 2:
            talk.ask([lease(name), lease(f"{name}second")])
        answers = [talk.answer() for _ in range(6)]

    assert [[fence for _, fence, *_ in answer] for answer in answers] == [[1, 1]] * 6
    assert client.get(f"{names[0]}none") is None, "nothing is left to be read"


def test_a_slot_that_moved_is_found_where_it_is(cluster: ClusterServers, client: Cluster) -> None:
    name = keys_of_each(client)[0]
    slot, old = key_slot(name.encode()), int(pool_of(client, name).connection_kwargs["port"])
    other = next(node for node in cluster.masters if node.port != old)
    # Its claim is to count for more than the old one's.
    other.ask("CLUSTER", "BUMPEPOCH")
    for node in (other, *cluster.masters):
        node.ask("CLUSTER", "SETSLOT", slot, "NODE", str(other.ask("CLUSTER", "MYID")))

    assert client.set(name, "here")
    assert run_many(client, [lease(f"{name}lease")])
    assert client.get(name) == "here"

    assert pool_of(client, name).connection_kwargs["port"] == other.port
    assert other.ask("GET", name) == "here"


def test_threads_share_a_client_that_looks_again(client: Cluster) -> None:
    names, until = keys_of_each(client), time.monotonic() + 1.5

    def ask(_number: int) -> int:
        asked = 0
        while time.monotonic() < until:
            client.look_again()
            asked += len(run_many(client, [lease(name) for name in names]))
        return asked

    with ThreadPoolExecutor(4) as threads:
        assert min(threads.map(ask, range(4))) > 0


def test_a_node_that_is_gone_does_not_keep_others_from_being_found(cluster: ClusterServers) -> None:
    with connect(f"redis+cluster://127.0.0.1:{free_port()},127.0.0.1:{cluster.masters[1].port}") as client:
        assert client.set("a", "1")


def test_a_cluster_that_is_away_is_an_outage_and_no_hindrance_to_make_a_client() -> None:
    with connect(f"redis+cluster://127.0.0.1:{free_port()}") as client, pytest.raises(redis.ConnectionError):
        client.get("a")


def test_a_server_that_is_no_cluster_is_said_to_be_none(redis_server: RedisServer) -> None:
    url = f"redis+cluster://127.0.0.1:{redis_server.port}"
    with connect(url) as client, pytest.raises(redis.ConnectionError, match="not a cluster"):
        client.get("a")


def test_each_master_is_examined(client: Cluster) -> None:
    servers(client)[1].config_set("maxmemory-policy", "allkeys-lru")

    bad = [finding for finding in health.examine(client) if not finding.ok]
    servers(client)[1].config_set("maxmemory-policy", "noeviction")

    assert [finding.name for finding in bad] == ["eviction"]
    assert f":{servers(client)[1].get_connection_kwargs()['port']}: expected" in bad[0].detail


def test_schedules_fire_runs_end_and_events_are_read_over_all_masters(parted: Store) -> None:
    parted.check_layout()
    leases = Leases(parted.slots, "me", 30.0)
    led = leases.take(range(16))
    parted.index.put_many(JobSpec(name, "task", schedules=(Schedule(Every("1h")),)) for name in JOBS)
    events = EventStreams(parted.slots, "reader")
    events.prepare()

    for name in JOBS:
        assert parted.ledger.submit(f"{name}:1", {"j": name, "n": "", "q": "default.p5", "tid": "x", "x": "[[],{}]"}, "m")[0]
        assert parted.ledger.claim(f"{name}:1", "holder", 30.0, "worker").won
    held, _ = parted.ledger.renew("holder", [f"{name}:1" for name in JOBS], 30.0)
    for name in JOBS:
        assert parted.ledger.finish_many("holder", [Ending(f"{name}:1", 1, RunState.SUCCEEDED, "{}")]) == {f"{name}:1"}
    told = events.read(100, 1000)

    assert len(led) == len(stands(parted.slots)) == 16
    assert held == {f"{name}:1" for name in JOBS}
    assert {event.fields["r"] for event in told if event.fields["k"] == "finished"} == held
    events.done(told)
    assert events.backlog() == 0
    assert not parted.ledger.reap(10, 0.0)


def test_waiting_for_events_ends_in_time(parted: Store) -> None:
    events = EventStreams(parted.slots, "reader")

    assert events.read(10, 50) == [], "a group that is missing is made"
    assert events.read(10, 50) == []

"""Backbeat: an app for its worker, and `worker_ours.py N BATCH` to fill its queue: N schedules come due, and are fired.

`trips N` asks for one run at a time; without arguments it counts what history will hear.
"""

import sys

from worker_effects import effect, stamp, trips

from backbeat import Backbeat, job
from backbeat.core.job import JobSpec, Overlap, Schedule
from backbeat.core.when import Every
from backbeat.runtime.firing import Firer
from backbeat.runtime.publisher import Publisher
from backbeat.store.events import EventStreams
from backbeat.store.leases import Leases
from backbeat.store.outbox import Outbox
from backbeat.store.store import Store, open_store

app = Backbeat("bench")
JOBS = 32


@job("bench.work", overlap="allow")
def work(number: int) -> None:
    """The job."""
    effect(number)


@job("bench.stamp", overlap="allow")
def stamped(number: int) -> None:
    """The job whose trip is measured."""
    stamp(number)


def fill(store: Store, count: int, batch: int) -> None:
    """Make the runs and their messages, as a scheduler does, and bring those to the broker that go through the outbox."""
    specs = [
        JobSpec(
            f"bench.j{part}",
            "bench.work",
            tuple(Schedule(Every("1d"), key=str(number), args=(number,)) for number in range(part, count, JOBS)),
            overlap=Overlap.ALLOW,
            batch=batch,
        )
        for part in range(JOBS)
    ]
    store.index.put_many(specs)
    moment = store.slots.now_ms() - 1000
    for keys in store.slots.all:
        if ids := store.slots.client.zrange(keys.due, 0, -1):
            store.slots.client.zadd(keys.due, dict.fromkeys(ids, moment))
    firer, leases = Firer(store), Leases(store.slots, "bench", 600).take(range(store.slots.count))
    while firer.step(leases) == 0:
        pass
    if not store.slots.direct:
        publish(store)


def publish(store: Store) -> None:
    """Empty the outbox."""
    publisher = Publisher(app, Outbox(store.slots, "bench"))
    publisher.begin()
    while publisher.step():
        pass
    publisher.close()


def ended(store: Store) -> int:
    """How many runs history will hear have succeeded."""
    streams, count = EventStreams(store.slots, "bench"), 0
    streams.prepare()
    while events := streams.read_many(10_000, 1_000, 1):
        count += sum(one.fields["k"] == "finished" and one.fields["state"] == "succeeded" for one in events)
    return count


if __name__ == "__main__":
    if sys.argv[1:2] == ["trips"]:
        trips(lambda number: stamped.apply_async((number,), ignore_result=True), int(sys.argv[2]))
    elif sys.argv[1:]:
        fill(open_store(), int(sys.argv[1]), int(sys.argv[2]))
    else:
        print(ended(open_store()))

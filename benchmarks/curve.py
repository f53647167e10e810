"""Does a fire cost more when more schedules exist? 1,000 are due each second, of a thousand up to a million.

usage: curve.py [--rounds 3] [--counts 1000,10000,100000] [--seconds 5] [--beat 1000,4000]

One Redis-compatible server for each number of schedules (append-only file, no rewrite in the measured time), loopback
TCP, one scheduler process, no workers. Of that many schedules the same 1,000 fall due, `--seconds` times over, and one
tick after another fires them; the figure is the mean time of a second's fires. The numbers take turns round by round.
Flat means: the dearest is at most 1.2 times the cheapest. django-celery-beat, for the shape of its curve, fires what it
can of N entries that are all due in five seconds. A million: --counts 1000,1000000 (loading takes minutes).
"""

import argparse
import contextlib
import statistics
import time
from pathlib import Path
from typing import Any

import harness

from backbeat.core.job import JobSpec, Overlap, Schedule
from backbeat.core.when import Cron
from backbeat.runtime.firing import Firer
from backbeat.store.connect import connect
from backbeat.store.leases import Leases
from backbeat.store.slots import Slots
from backbeat.store.store import Store
from tests.support.servers import RedisServer

DUE = 1_000


class Held:
    """A server with so many schedules, and a scheduler that leads them."""

    def __init__(self, count: int, stack: contextlib.ExitStack) -> None:
        server = RedisServer(stack.enter_context(harness.folder()), options=harness.STEADY)
        server.start()
        stack.callback(server.stop)
        self.store = Store(Slots(connect(server.tcp_url, timeout=60.0)))
        began = time.perf_counter()
        self.store.index.put_many(_specs(count))
        harness.say(f"{count:,} schedules loaded in {time.perf_counter() - began:.1f} s")
        self.firer = Firer(self.store)
        self.leases = Leases(self.store.slots, "bench", 3600).take(range(self.store.slots.count))

    def second(self) -> float:
        """Seconds that it takes to fire what is due in one second."""
        client, now = self.store.slots.client, self.store.slots.now_ms()
        for number in range(DUE):
            name = f"job.number{number:07d}"
            client.zadd(self.store.slots.of(name).due, {name: now - 1}, xx=True)
        wanted = self.firer.counts["fired"] + DUE
        began = time.perf_counter()
        while self.firer.counts["fired"] < wanted:
            self.firer.step(self.leases)
        return time.perf_counter() - began

    def messages(self) -> int:
        """How many are in the broker."""
        return int(self.store.slots.client.llen("default.p5"))


def main() -> None:
    """Measure, interleaved, and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--counts", type=_numbers, default="1000,10000,100000")
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--beat", type=_numbers, default="1000,4000")
    options = parser.parse_args()

    with contextlib.ExitStack() as stack:
        sides = {count: Held(count, stack) for count in options.counts}
        times: dict[int, list[float]] = {count: [] for count in sides}
        for _ in range(options.rounds * options.seconds):
            for count, held in sides.items():
                times[count].append(held.second())
        seconds = options.rounds * options.seconds
        wrong = {count: held.messages() - seconds * DUE for count, held in sides.items()}
    beat = {count: _beat(count) for count in options.beat}
    # The quickest half: what others on the machine took is none of ours.
    rates = {count: DUE / statistics.mean(sorted(found)[: (len(found) + 1) // 2]) for count, found in times.items()}
    rows = [("", "schedules", "fires/s")]
    rows += [("backbeat", f"{count:,}", f"{rate:,.0f}") for count, rate in rates.items()]
    rows += [("django-celery-beat", f"{count:,}", f"{answer['fires_per_s']:,.0f}") for count, answer in beat.items()]
    ratios = {"backbeat, dearest to cheapest": max(rates.values()) / min(rates.values())}
    if beat:
        shown = [answer["fires_per_s"] for answer in beat.values()]
        ratios["django-celery-beat, dearest to cheapest"] = max(shown) / min(shown)
    checks = {"lost": sum(max(0, -one) for one in wrong.values()), "doubled": sum(max(0, one) for one in wrong.values())}
    raw = {"backbeat": {str(count): found for count, found in times.items()}, "django-celery-beat": list(beat.values())}
    harness.report("curve", rows, ratios, raw, checks)


def _specs(count: int) -> Any:
    never = Cron("0 0 1 1 *")
    for number in range(count):
        yield JobSpec(f"job.number{number:07d}", "jobs.work", schedules=(Schedule(never, args=(number,)),), overlap=Overlap.ALLOW)


def _beat(count: int) -> dict[str, Any]:
    with harness.folder() as place:
        server = RedisServer(Path(place), options=harness.STEADY)
        server.start()
        try:
            return harness.side("fires_django_celery_beat.py", server.tcp_url, count, 5, place, ours=False)
        finally:
            server.stop()


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",") if part]


if __name__ == "__main__":
    main()

"""Limits on real workers, on both brokers, while workers are killed: never too many at once, and everything is done."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import pytest

from backbeat.core.job import JobSpec
from tests.acceptance.conftest import BROKERS, QUICK, broker_url
from tests.support.deployment import Deployment
from tests.support.eventually import eventually
from tests.support.servers import RedisServer

pytestmark = pytest.mark.slow

JOBS = """
import time
from pathlib import Path
from backbeat import job
from probe_jobs import effect

@job("limited.work", max_concurrency=2, concurrency_key="tenant")
def work(tenant: str, seconds: float = 0.1) -> None:
    effect("begin")
    while Path("hold").exists():
        time.sleep(0.02)
    time.sleep(seconds)
    effect("end")

@job("limited.paced", rate="10/s", rate_burst=5)
def paced() -> None:
    effect("begin")

@job("limited.long", timeout="2h")
def long() -> None: ...

@job("limited.first", max_concurrency=1)
def first(number: int) -> int:
    time.sleep(0.1)
    return number

@job("limited.second")
def second(number: int) -> None:
    effect(f"second-{number}")
"""
CHAINS = """
import probe_app
from celery import chain
from limited_jobs import first, second
for number in range(4):
    chain(first.s(number), second.s()).apply_async()
"""


@pytest.fixture(scope="module", params=BROKERS)
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer
) -> Iterator[Deployment]:
    with redis_server.client() as client:
        client.flushall()
    folder = tmp_path_factory.mktemp("limits")
    made = Deployment(folder, redis_server.url, broker_url(request, request.param), **QUICK)
    (folder / "limited_jobs.py").write_text(JOBS)
    made.includes("limited_jobs")
    made.define(
        JobSpec("limited.work", "limited.work", max_concurrency=2, concurrency_key="tenant"),
        JobSpec("limited.paced", "limited.paced", rate="10/s", rate_burst=5),
    )
    made.keeper()
    for name in ("one", "two"):
        made.worker(name, children=3)
    yield made
    made.stop()


def effects(site: Deployment, job: str) -> list[tuple[str, str, str, float]]:
    """(word, run, attempt, moment) of one job, in the order in which they were written."""
    lines = [line.split() for line in site.effects_file.read_text().splitlines()] if site.effects_file.exists() else []
    return [(word, run_id, attempt, float(moment)) for word, run_id, attempt, moment in lines if run_id.startswith(f"{job}:")]


def most_at_once(begun: list[tuple[str, str, str, float]], kills: list[float]) -> int:
    """Of attempts, each from its begin to its end, or to the kill that it did not survive."""
    ends = {(run_id, attempt): moment for word, run_id, attempt, moment in begun if word == "end"}
    steps = []
    for word, run_id, attempt, moment in begun:
        if word == "begin":
            end = ends.get((run_id, attempt)) or min(kill for kill in kills if kill >= moment)
            steps += [(moment, 1), (end, -1)]
    most = now = 0
    for _, step in sorted(steps):
        now += step
        most = max(most, now)
    return most


def test_never_more_at_once_for_a_key_and_every_run_is_done_although_workers_are_killed(site: Deployment) -> None:
    (site.folder / "hold").touch()
    runs = {site.submit("limited.work", f"{tenant}-{number}", tenant=tenant) for number in range(15) for tenant in "xy"}
    # Until each key has got as far as its limit, however busy the machine is.
    eventually(lambda: len(site.effects("begin")) >= 4, within=60, message=site.story)
    (site.folder / "hold").unlink()
    done = lambda: site.effects("end").keys() & runs  # noqa: E731 - a name for what is asked again and again
    kills = []

    for number, least in enumerate((4, 12)):
        eventually(lambda least=least: len(done()) >= least, within=60, message=site.story)
        site.processes[f"w{number - 1}" if number else "one"].kill()
        kills.append(time.time())
        site.worker(f"w{number}", children=3)
    eventually(lambda: len(done()) == len(runs), within=90, message=site.story)

    begun = effects(site, "limited.work")
    most = {t: most_at_once([one for one in begun if one[1].startswith(f"limited.work:{t}-")], kills) for t in "xy"}
    assert most == {"x": 2, "y": 2}
    # Nobody who has ended still has a place.
    eventually(lambda: not list(site.client.scan_iter("*:hold:limited.work*")), within=20, message=site.story)


def test_no_more_start_than_the_rate_allows_and_all_of_them_do(site: Deployment) -> None:
    runs = {site.submit("limited.paced", str(number)) for number in range(25)}
    eventually(lambda: site.effects("begin").keys() >= runs, within=60, message=site.story)

    moments = sorted(moment for _, _, _, moment in effects(site, "limited.paced"))

    # From the claim, where the limit holds, to the first line of the job it takes a moment, longer on a busy machine.
    late = 0.5
    for first, begin in enumerate(moments):
        for last in range(first, len(moments)):
            assert last - first + 1 <= 5 + 1 + 10 * (moments[last] - begin + late)
    assert moments[-1] - moments[0] >= 2.0 - late


def test_what_comes_after_a_run_in_a_chain_is_not_forgotten_while_it_waits(site: Deployment) -> None:
    site.command(sys.executable, "-c", CHAINS)

    seconds = lambda: {line.split()[0] for line in site.effects_file.read_text().splitlines() if line.startswith("second-")}  # noqa: E731
    eventually(lambda: seconds() == {f"second-{number}" for number in range(4)}, within=60, message=site.story)


def test_a_worker_on_rabbitmq_names_jobs_that_outlast_consumer_timeout(site: Deployment) -> None:
    told = "may run longer: limited.long (2h)" in site.processes["two"].logs(1_000_000)

    assert told is not site.store.slots.direct

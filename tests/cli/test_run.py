"""`backbeat run` and `backbeat job why` on a real deployment: database, Redis, a scheduler, a worker and a keeper."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from backbeat.core.job import JobSpec, Schedule
from backbeat.core.when import Every, iso
from tests.support.deployment import Deployment
from tests.support.eventually import eventually
from tests.support.servers import RedisServer

pytestmark = pytest.mark.redis


class Answer:
    """How a command ended."""

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    @property
    def data(self) -> Any:
        return json.loads(self.out)


def backbeat(site: Deployment, *arguments: str, **env: str) -> Answer:
    command = [sys.executable, "-m", "backbeat.cli", *arguments]
    env = {**site.env, **env}
    return Answer(
        subprocess.run(
            command, cwd=site.folder, env=env, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL
        )
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Iterator[Deployment]:
    with redis_server.client() as client:
        client.flushall()
    made = Deployment(tmp_path_factory.mktemp("site"), redis_server.url, redis_server.broker_url, BACKBEAT_RUN_LEASE="3s")
    for name, task in (("works", "probe.work"), ("fails", "probe.flaky"), ("poison", "probe.die"), ("says", "probe.says")):
        made.define(JobSpec(name, task))
    made.define(JobSpec("hourly", "probe.work", schedules=(Schedule(Every("1h")),)))
    made.define(JobSpec("nobody", "probe.work", pool="nobody"))
    for start in (made.worker, made.beat, made.keeper):
        start()
    yield made
    made.stop()


def recorded(site: Deployment, run_id: str, state: str) -> str:
    """Wait until history has the run in this state."""

    def there() -> bool:
        return site.rows(f"select state from backbeat_run where run_id = '{run_id}'") == [(state,)]

    eventually(there, within=60, message=site.story)
    return run_id


def test_a_run_is_listed_shown_and_its_log_printed(site: Deployment) -> None:
    run_id = recorded(site, site.submit("says", "hello", text="good morning"), "succeeded")

    (row,) = backbeat(site, "run", "ls", "--where", "job:says", "-o", "json").data
    facts = backbeat(site, "run", "show", run_id, "-o", "json").data

    assert (row["run"], row["state"], row["attempt"]) == (run_id, "succeeded", 1)
    assert facts["kwargs"] == {"text": "good morning"}
    assert [one["state"] for one in facts["attempts"]] == ["succeeded"]
    assert "it says good morning" in backbeat(site, "run", "logs", run_id).out
    assert run_id in backbeat(site, "run", "show", run_id).out
    assert backbeat(site, "run", "ls", "--where", "says:", "-o", "name").out == f"{run_id}\n"


def test_a_run_that_has_not_begun_is_listed_too_although_history_has_not_heard_of_it(site: Deployment) -> None:
    run_id = site.submit("nobody", "waits")

    (row,) = backbeat(site, "run", "ls", "--where", "state:queued job:nobody", "-o", "json").data

    assert (row["run"], row["queue"]) == (run_id, "nobody.p5")
    assert backbeat(site, "run", "show", run_id, "-o", "json").data["state"] == "queued"


def test_why_says_what_holds_a_run_and_what_helps(site: Deployment) -> None:
    run_id = site.submit("nobody", "why")

    answer = backbeat(site, "run", "why", run_id)
    assert answer.code == 0, answer.err
    data = backbeat(site, "run", "why", run_id, "-o", "json").data

    assert f"{run_id}: no live worker consumes queue nobody.p5." in answer.out
    assert "cure: Start one: `backbeat worker --pool nobody`." in answer.out
    assert (data["state"], data["code"]) == ("queued", "no-consumer")
    assert [gate["name"] for gate in data["gates"] if not gate["passed"]] == ["consumed"]


def test_why_answers_for_an_occurrence_and_for_a_job_in_the_same_words(site: Deployment) -> None:
    (due_at,) = site.store.index.next_times(["hourly"]).values()
    assert due_at is not None

    occurrence = backbeat(site, "run", "why", f"hourly@{iso(due_at)}", "-o", "json").data
    job = backbeat(site, "job", "why", "hourly", "-o", "json").data

    assert occurrence["code"] == job["code"] == "not-due"
    assert iso(due_at) in occurrence["sentence"]
    assert iso(due_at) in job["sentence"]


def test_a_finished_run_says_how_it_went(site: Deployment) -> None:
    run_id = recorded(site, site.submit("fails", "why", until=9), "failed")

    data = backbeat(site, "run", "why", run_id, "-o", "json").data

    assert data["code"] == "failed"
    assert "RuntimeError: attempt 1 fails" in data["sentence"]
    assert "RuntimeError" in backbeat(site, "run", "logs", run_id).out


def test_a_failed_run_is_retried_once_however_often_it_is_asked(site: Deployment) -> None:
    run_id = recorded(site, site.submit("fails", "retry", until=9), "failed")

    first = backbeat(site, "run", "retry", run_id, "-o", "json")
    second = backbeat(site, "run", "retry", run_id, "-o", "json")

    assert first.data == [{"run": run_id, "outcome": "retried", "new": f"{run_id}~1"}]
    assert second.data == [{"run": run_id, "outcome": "retried before", "new": f"{run_id}~1"}]
    recorded(site, f"{run_id}~1", "failed")
    assert site.effects("begin")[f"{run_id}~1"] == 1


def test_many_are_chosen_by_a_search_and_only_when_the_number_is_agreed_to(site: Deployment) -> None:
    for number in range(3):
        site.submit("nobody", f"many{number}")
    words = ["--where", "state:queued nobody:many"]

    assert "add --yes" in backbeat(site, "run", "cancel", *words).err
    assert len(backbeat(site, "run", "cancel", *words, "--dry-run", "-o", "json").data) == 3
    done = backbeat(site, "run", "cancel", *words, "--yes", "-o", "json")

    assert done.code == 0
    assert sorted(one["outcome"] for one in done.data) == ["cancelled"] * 3
    for number in range(3):
        recorded(site, f"nobody:many{number}", "cancelled")
    assert backbeat(site, "run", "cancel", "nobody:many0", "-o", "json").data[0]["outcome"] == "cancelled before"


def test_what_a_state_does_not_allow_is_refused_and_the_others_have_their_turn(site: Deployment) -> None:
    done, waits = recorded(site, site.submit("works", "refuse"), "succeeded"), site.submit("nobody", "refuse")

    answer = backbeat(site, "run", "cancel", done, waits, "-o", "json")

    assert answer.code == 4
    assert [one["outcome"] for one in answer.data] == [
        f"run {done} is succeeded, so `cancel` does nothing for it. It allows: again.",
        "cancelled",
    ]


def test_a_run_in_quarantine_is_released_and_runs_again(site: Deployment) -> None:
    run_id = recorded(site, site.submit("poison", "a"), "quarantined")
    assert backbeat(site, "run", "why", run_id, "-o", "json").data["code"] == "quarantined"
    before = site.effects("begin")[run_id]

    answer = backbeat(site, "run", "release", run_id, "-o", "json")

    assert answer.data == [{"run": run_id, "outcome": "queued", "new": None}]
    eventually(lambda: site.effects("begin")[run_id] > before, within=60, message=site.story)


def test_again_runs_the_same_and_with_other_arguments(site: Deployment) -> None:
    run_id = recorded(site, site.submit("says", "again", text="one"), "succeeded")

    same = backbeat(site, "run", "again", run_id, "-A", "probe_app").out.strip()
    other = backbeat(site, "run", "again", run_id, "-A", "probe_app", "--kwargs", '{"text": "two"}', "--key", "other").out.strip()

    assert other == "says:other"
    recorded(site, same, "succeeded")
    recorded(site, other, "succeeded")
    assert "it says one" in backbeat(site, "run", "logs", same).out
    assert "it says two" in backbeat(site, "run", "logs", other).out
    deeds = f"select what from backbeat_deed where run_id = '{run_id}' and verb = 'again' order by at"
    eventually(lambda: site.rows(deeds) == [(same,), (other,)], within=20, message=site.story)
    assert backbeat(site, "run", "again", run_id, "-A", "probe_app", "--kwargs", '{"txt": 1}').code == 2


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["show", "none:1"], 3, "no run 'none:1' is known"),
        (["why", "none:1"], 3, "no run or occurrence 'none:1' is known"),
        (["retry", "none:1"], 3, ""),
        (["cancel"], 2, "expected run ids or --where"),
        (["cancel", "a:1", "--where", "state:failed"], 2, "expected run ids or --where"),
        (["ls", "--where", "stat:failed"], 2, "Did you mean 'state'?"),
        (["ls", "--where", "state:faild"], 2, "Did you mean 'failed'?"),
    ],
)
def test_mistakes_have_their_exit_code_and_a_hint(site: Deployment, arguments: list[str], code: int, told: str) -> None:
    answer = backbeat(site, "run", *arguments)

    assert answer.code == code
    assert told in answer.err


def test_without_redis_what_needs_it_ends_with_five_and_history_is_still_listed(site: Deployment) -> None:
    recorded(site, site.submit("works", "outage"), "succeeded")
    away = {"REDIS_URL": f"unix://{site.folder}/no.sock?db=0", "BROKER_URL": ""}

    assert backbeat(site, "run", "why", "works:outage", **away).code == 5
    assert backbeat(site, "run", "cancel", "works:outage", **away).code == 5
    listed = backbeat(site, "run", "ls", "--where", "job:works", "-o", "name", **away)
    assert "works:outage" in listed.out
    assert "Redis does not answer" in listed.err

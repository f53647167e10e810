"""`backbeat job` on a real deployment: database, Redis, a worker and a keeper."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from backbeat.core.job import JobSpec, Schedule
from backbeat.core.retry import Retry
from backbeat.core.when import Cron, Every
from tests.support.deployment import Deployment
from tests.support.servers import RedisServer

pytestmark = pytest.mark.redis

NIGHTLY = JobSpec(
    name="reports.nightly",
    task="probe.work",
    schedules=(Schedule(Cron("30 2 * * *", tz="Europe/Berlin"), key="night"), Schedule(Every("1h"), key="hourly", enabled=False)),
    retry=Retry(2),
    owner="team-x",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Iterator[Deployment]:
    with redis_server.client() as client:
        client.flushall()
    site = Deployment(tmp_path_factory.mktemp("site"), redis_server.url, redis_server.broker_url)
    site.define(NIGHTLY)
    site.define(JobSpec(name="probe.die", task="probe.die", pool="nobody", enabled=False))
    site.define(JobSpec(name="probe.says", task="probe.says"))
    yield site
    site.stop()


class Answer:
    """How a command ended."""

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    @property
    def data(self) -> Any:
        return json.loads(self.out)


def backbeat(site: Deployment, *arguments: str, **env: str) -> Answer:
    command = [sys.executable, "-m", "backbeat.cli", "job", *arguments]
    return Answer(
        subprocess.run(command, cwd=site.folder, env={**site.env, **env}, capture_output=True, text=True, timeout=60, check=False)
    )


def test_ls_lists_jobs_with_state_next_and_last_run(site: Deployment):
    found = backbeat(site, "ls", "-o", "json").data

    by_name = {one["name"]: one for one in found}
    assert list(by_name) == ["probe.die", "probe.says", "reports.nightly"]
    assert by_name["probe.die"]["state"] == "disabled"
    assert by_name["reports.nightly"]["next"].endswith(("T00:30:00Z", "T01:30:00Z"))
    assert by_name["reports.nightly"]["last"] is None
    assert "02:30" in by_name["reports.nightly"]["schedules"][1]


def test_ls_can_be_narrowed_and_be_names_alone(site: Deployment):
    assert backbeat(site, "ls", "--state", "disabled", "-o", "name").out == "probe.die\n"
    assert backbeat(site, "ls", "--pool", "default", "-o", "name").out.split() == ["probe.says", "reports.nightly"]
    assert "reports.nightly" in backbeat(site, "ls").out


def test_show_tells_the_definition_and_what_each_schedule_means(site: Deployment):
    facts = backbeat(site, "show", "reports.nightly", "-o", "json").data

    assert (facts["task"], facts["owner"], facts["state"], facts["paused"]) == ("probe.work", "team-x", "enabled", None)
    assert [schedule["id"] for schedule in facts["schedules"]] == ["reports.nightly#hourly", "reports.nightly#night"]
    assert len(facts["schedules"][1]["next"]) == 3
    assert "team-x" in backbeat(site, "show", "reports.nightly").out


def test_next_shows_the_enabled_schedules_in_both_clocks(site: Deployment):
    runs = backbeat(site, "next", "reports.nightly", "-n", "4", "-o", "json").data

    assert {run["schedule"] for run in runs} == {"reports.nightly#night"}
    assert all(" 02:30:00 CE" in run["there"] for run in runs)
    moments = [datetime.fromisoformat(run["nominal"]) for run in runs]
    assert moments == sorted(moments)
    assert len(moments) == 4


def test_next_says_when_nothing_of_it_will_run(site: Deployment):
    answer = backbeat(site, "next", "probe.die")

    assert answer.code == 0
    assert "probe.die is disabled: none of these will run until that changes." in answer.err


def test_an_unknown_job_is_answered_with_the_nearest(site: Deployment):
    for command in (["show"], ["next"], ["pause", "--reason", "x"], ["resume"]):
        answer = backbeat(site, *command, "reports.nightl")

        assert answer.code == 3
        assert "no job is named 'reports.nightl'. Did you mean 'reports.nightly'?" in answer.err
    assert backbeat(site, "run", "reports.nightl", "-A", "probe_app").code == 3


def test_pause_and_resume(site: Deployment):
    backbeat(site, "pause", "probe.says", "--reason", "the disk is full", "--until", "2999-01-31T06:00Z")

    facts = backbeat(site, "show", "probe.says", "-o", "json").data
    assert facts["state"] == "paused"
    assert facts["paused"]["reason"] == "the disk is full"
    assert facts["paused"]["until"] == "2999-01-31T06:00:00Z"
    assert backbeat(site, "resume", "probe.says").code == 0
    assert backbeat(site, "show", "probe.says", "-o", "json").data["state"] == "enabled"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["pause", "probe.says", "--reason", "x", "--until", "soon"],
            "until: expected a time such as 2027-01-31T06:00Z; got 'soon'.",
        ),
        (["pause", "probe.says", "--reason", "x", "--until", "2999-01-01"], "expected a date with a time zone"),
        (["run", "probe.says", "--args", "{"], "--args: expected JSON"),
        (["run", "probe.says", "--args", "3"], "--args: expected a list or an object; got '3'."),
        (["run", "probe.says", "--kwargs", "[]"], "--kwargs: expected an object; got '[]'."),
        (["run", "probe.says", "-A", "probe_app"], "text: missing, and it has no default."),
        (["run", "probe.says", "-A", "probe_app", "--args", '["x"]', "--priority", "11"], "priority: expected 0 to 9"),
    ],
)
def test_bad_input_is_refused_with_what_was_expected(site: Deployment, arguments: list[str], sentence: str):
    answer = backbeat(site, *arguments)

    assert answer.code == 2
    assert sentence in answer.err
    assert answer.out == ""


def test_run_prints_the_id_of_the_run(site: Deployment):
    first = backbeat(
        site, "run", "probe.says", "-A", "probe_app", "--args", '{"text": "hello"}', "--key", "k1", "--reason", "a test"
    )
    again = backbeat(site, "run", "probe.says", "-A", "probe_app", "--args", '["hello"]', "--key", "k1", "-o", "json")

    assert first.out == "probe.says:k1\n"
    assert again.data == {"run": "probe.says:k1"}
    fields = site.store.ledger.get("probe.says:k1")
    assert (fields["why"], json.loads(fields["x"])) == ("a test", [[], {"text": "hello"}])


@pytest.mark.slow
def test_run_can_wait_for_the_end(site: Deployment):
    site.worker()
    site.keeper()

    good = backbeat(site, "run", "reports.nightly", "-A", "probe_app", "--key", "w1", "--wait", "--timeout", "40s")
    bad = backbeat(site, "run", "probe.flaky", "-A", "probe_app", "--args", "[99]", "--wait", "--timeout", "40s", "-o", "json")

    assert good.code == 0, good.err + site.story()
    assert good.out.splitlines() == ["reports.nightly:w1 succeeded", '"reports.nightly:w1"']
    assert bad.code == 1
    assert bad.data["state"] == "failed"
    assert bad.data["error"]["message"] == "attempt 4 fails"


def test_a_run_that_does_not_end_in_time_is_said_to_be_unfinished(site: Deployment):
    answer = backbeat(site, "run", "probe.die", "-A", "probe_app", "--wait", "--timeout", "300ms")

    assert answer.code == 1
    assert "unfinished" in answer.out
    assert "not finished within 0.3s" in answer.out


def test_a_server_that_does_not_answer_is_exit_code_5(site: Deployment):
    answer = backbeat(site, "run", "probe.die", "-A", "probe_app", REDIS_URL="unix:///nowhere/redis.sock", BROKER_URL="")

    assert answer.code == 5, answer.err
    assert "Traceback" not in answer.err

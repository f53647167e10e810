"""`backbeat dag`: planning needs no server; running, showing and mending need one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.deployment import Deployment
from tests.support.eventually import eventually
from tests.support.servers import RedisServer

GRAPH = {
    "dag": "drawn",
    "nodes": [
        {"id": "a", "job": "probe.work"},
        {"id": "b", "job": "probe.work", "after": ["a"]},
        {"id": "c", "job": "probe.work", "after": ["a"]},
        {"id": "d", "job": "probe.work", "after": ["b", "c"]},
    ],
}
RECORDED = {
    "name": "tiny",
    "tasks": [{"id": "x", "runtime_s": 2.0, "parents": []}, {"id": "y", "runtime_s": 3.0, "parents": ["x"]}],
}
CODED = """
from backbeat import dag, job
from probe_jobs import work

@job("timed.sleep")
def sleep(seconds: float = 0.0) -> None: ...

@job("flag.check")
def check(path: str) -> None:
    from pathlib import Path
    if Path(path).exists():
        raise RuntimeError("the flag is up")

@dag("coded.graph")
def graph(path: str = "flag"):
    "Checks a flag."
    check(path) >> work()
"""


class Answer:
    """How a command ended."""

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr


def backbeat(folder: Path, *arguments: str, env: dict[str, str] | None = None) -> Answer:
    command = [sys.executable, "-m", "backbeat.cli", "dag", *arguments]
    return Answer(subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=60, check=False))


def written(folder: Path, name: str, data: Any) -> str:
    (folder / name).write_text(json.dumps(data))
    return name


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Iterator[Deployment]:
    with redis_server.client() as client:
        client.flushall()
    made = Deployment(tmp_path_factory.mktemp("site"), redis_server.url)
    (made.folder / "coded.py").write_text(CODED)
    (made.folder / "celeryconfig.py").write_text('imports = ("coded",)\n')
    (made.folder / "site_settings").mkdir()
    (made.folder / "site_settings.py").rename(made.folder / "site_settings" / "__init__.py")
    (made.folder / "site_settings" / "celery.py").write_text("from probe_app import app\n")
    made.worker()
    made.keeper()
    yield made
    made.stop()


def test_a_file_is_planned_without_any_server(tmp_path: Path) -> None:
    answer = backbeat(tmp_path, "plan", written(tmp_path, "g.json", GRAPH), "--engine", "canvas")

    assert answer.code == 0, answer.err
    assert "4 nodes, 4 edges, 3 levels, 2 side by side at most" in answer.out
    assert "chord 1: b, c → d" in answer.out
    assert "series-parallel: a → (b | c) → d" in answer.out
    assert "2 because the parent has other children" in answer.out


def test_a_plan_comes_as_json_dot_and_mermaid_too(tmp_path: Path) -> None:
    name = written(tmp_path, "r.json", RECORDED)

    facts = json.loads(backbeat(tmp_path, "plan", name, "-o", "json", "--scale", "0.5", "--engine", "canvas").out)

    assert facts["critical_path"] == ["x", "y"]
    assert facts["critical_seconds"] == 2.5
    assert facts["segments"] == [
        {"kind": "chain", "nodes": ["x", "y"], "why": "2 nodes in a row without forks or joins between, of one policy"}
    ]
    assert backbeat(tmp_path, "plan", name, "-o", "dot").out.startswith('digraph "tiny"')
    assert backbeat(tmp_path, "plan", name, "-o", "mermaid").out.startswith("flowchart LR")


def test_a_plan_says_that_what_travels_as_canvas_depends_on_where_the_queues_are_and_how_long_nodes_take(tmp_path: Path) -> None:
    def row(seconds: float) -> str:
        tasks = [{"id": f"t{n}", "runtime_s": seconds, "parents": [f"t{n - 1}"] if n else []} for n in range(5)]
        return written(tmp_path, f"row{seconds}.json", {"name": "row", "tasks": tasks})

    rabbit = {**os.environ, "BROKER_URL": "amqp://guest@127.0.0.1:1//"}

    assert "4 because the queues lie on the ledger's own Redis" in backbeat(tmp_path, "plan", row(1.0)).out
    assert "chain 1: t0 → t1 → t2 → t3 → t4" in backbeat(tmp_path, "plan", row(1.0), env=rabbit).out
    assert "4 because whoever ends one of these quick nodes goes on" in backbeat(tmp_path, "plan", row(0.01), env=rabbit).out


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"dag": "g", "nodes": [{"id": "a", "job": "x", "after": ["b"]}, {"id": "b", "job": "x", "after": ["a"]}]}, "a → b → a"),
        ({"dag": "g", "nodes": [{"id": "a", "jobb": "x"}]}, "Did you mean 'job'?"),
        ({"jobs": []}, "expected an object with 'nodes' (ours), 'tasks' (compact) or 'workflow' (WfFormat)"),
        ([1], "expected an object; got list"),
    ],
)
def test_what_cannot_run_is_refused_with_exit_code_2(tmp_path: Path, data: Any, said: str) -> None:
    answer = backbeat(tmp_path, "plan", written(tmp_path, "bad.json", data))

    assert answer.code == 2
    assert said in answer.err
    assert answer.out == ""


def test_a_file_that_is_no_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("{")

    assert backbeat(tmp_path, "plan", "bad.json").code == 2


@pytest.mark.redis
def test_graphs_of_code_are_listed_and_exported(site: Deployment) -> None:
    listed = json.loads(backbeat(site.folder, "ls", "-o", "json", env=site.env).out)

    assert [(row["dag"], row["nodes"], row["source"], row["about"]) for row in listed] == [
        ("coded.graph", 2, "code", "Checks a flag.")
    ]
    exported = json.loads(backbeat(site.folder, "export", "coded.graph", env=site.env).out)
    assert exported["nodes"][1] == {"id": "work", "job": "probe.work", "after": ["check"]}
    unknown = backbeat(site.folder, "plan", "coded.graf", env=site.env)
    assert unknown.code == 3
    assert "Did you mean 'coded.graph'?" in unknown.err


@pytest.mark.redis
def test_a_graph_is_imported_run_shown_and_run_again(site: Deployment) -> None:
    (site.folder / "flag").touch()
    run = backbeat(
        site.folder, "run", "coded.graph", "--key", "1", "--kwargs", json.dumps({"path": str(site.folder / "flag")}), env=site.env
    )
    assert run.out.strip() == "coded.graph:1", run.err

    eventually(
        lambda: backbeat(site.folder, "show", "coded.graph:1", env=site.env).out.startswith("coded.graph:1  failed"),
        within=25,
        message=site.story,
    )
    shown = backbeat(site.folder, "show", "coded.graph:1", env=site.env).out
    assert "✗ check" in shown
    assert "↑ work" in shown

    (site.folder / "flag").unlink()
    assert backbeat(site.folder, "rerun", "coded.graph:1", env=site.env).out == "coded.graph:1: 2 nodes run again\n"
    watched = backbeat(site.folder, "show", "coded.graph:1", "--watch", "-o", "json", env=site.env)
    last = json.loads(watched.out.splitlines()[-1])
    assert {"waiting_ms", "queued_ms", "running_ms", "retry_ms"} < last["nodes"][0].keys()
    eventually(
        lambda: (
            json.loads(backbeat(site.folder, "show", "coded.graph:1", "-o", "json", env=site.env).out)["state"] == "succeeded"
        ),
        within=20,
    )
    assert last["run"] == "coded.graph:1"


@pytest.mark.redis
def test_an_imported_graph_runs_like_any_other(site: Deployment) -> None:
    name = written(site.folder, "tiny.json", RECORDED)

    dry = backbeat(site.folder, "import", name, "--dry-run", env=site.env)
    done = backbeat(site.folder, "import", name, "--scale", "0.01", env=site.env)
    run = backbeat(site.folder, "run", "tiny", "--key", "1", env=site.env)

    assert dry.out.endswith("(only checked)\n"), dry.err
    assert done.out.startswith("tiny: 2 nodes, version "), done.err
    assert run.out.strip() == "tiny:1", run.err
    eventually(lambda: "2 succeeded" in backbeat(site.folder, "show", "tiny:1", env=site.env).out, within=40, message=site.story)


@pytest.mark.redis
def test_a_scheduled_graph_comes_and_goes_as_a_yaml_file(site: Deployment) -> None:
    lines = ["dag: ticking", "schedules: [{every: 1s}]", "owner: team-x", "max_active: 2", "nodes:", "- {id: a, job: probe.work}"]
    (site.folder / "ticking.yaml").write_text("\n".join([*lines, "- {id: b, job: probe.work, after: [a]}"]))
    beat = site.beat()

    first = backbeat(site.folder, "import", "ticking.yaml", env=site.env)
    done = lambda: site.rows("select dag_run_id, version from backbeat_dagrun where dag = 'ticking' and state = 'succeeded'")  # noqa: E731
    runs = eventually(done, within=60, message=first.err + site.story())
    beat.stop()
    exported = backbeat(site.folder, "export", "ticking", "-o", "yaml", env=site.env).out
    (site.folder / "again.yaml").write_text(exported)
    again = backbeat(site.folder, "import", "again.yaml", env=site.env)

    assert "owner: team-x" in exported
    assert again.out == first.out, "the same graph, the same version"
    assert runs[0][1] in first.out
    planned = json.loads(backbeat(site.folder, "plan", "ticking", "-o", "json", env=site.env).out)
    assert planned["critical_seconds"] != 2.0, "measured, not guessed"
    assert backbeat(site.folder, "remove", "ticking", env=site.env).code == 0
    assert backbeat(site.folder, "remove", "ticking", env=site.env).code == 3


@pytest.mark.redis
def test_a_run_is_held_continued_and_cancelled_and_an_unknown_one_is_told(site: Deployment) -> None:
    slow = {
        "dag": "slow",
        "nodes": [{"id": "a", "job": "probe.work", "kwargs": {"seconds": 60}}, {"id": "b", "job": "probe.work", "after": ["a"]}],
    }
    backbeat(site.folder, "import", written(site.folder, "slow.json", slow), env=site.env)
    backbeat(site.folder, "run", "slow", "--key", "1", env=site.env)
    eventually(lambda: site.effects("begin")["slow:1/a"], within=30, message=site.story)

    assert backbeat(site.folder, "hold", "slow:1", env=site.env).out == "slow:1: held\n"
    assert backbeat(site.folder, "continue", "slow:1", env=site.env).out == "slow:1: goes on\n"
    assert backbeat(site.folder, "cancel", "slow:1", env=site.env).out == "slow:1: stopping\n"
    eventually(lambda: backbeat(site.folder, "show", "slow:1", env=site.env).out.startswith("slow:1  cancelled"), within=30)
    for verb in (["hold", "slow:1"], ["cancel", "slow:9"], ["rerun", "slow:9"], ["show", "slow:9"]):
        assert backbeat(site.folder, *verb, env=site.env).code == 3, verb

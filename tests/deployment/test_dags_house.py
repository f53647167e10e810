"""The house of graphs: one DAG a file, each plans without a doubt, none begins anything surprising, and the table is true."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from backbeat.core.dag_check import check
from backbeat.core.occurrence import upcoming
from backbeat.core.plan import plan
from backbeat.runtime import registry
from backbeat.runtime.dag import DagDefinition
from dags import service_checks

ROOT = Path(__file__).parents[2]
MODULES = sorted(path.stem for path in (ROOT / "dags").glob("[a-z]*.py"))
README = (ROOT / "dags" / "README.md").read_text()


@pytest.fixture(scope="module", autouse=True)
def _loaded() -> None:
    assert registry.load(["jobs", "dags"]) == []


def graph_in(module: str) -> DagDefinition:
    """The one DAG that a module defines."""
    found = [value for value in vars(import_module(f"dags.{module}")).values() if isinstance(value, DagDefinition)]
    (only,) = found
    return only


@pytest.mark.parametrize("module", MODULES)
def test_a_file_holds_one_graph_that_is_named_like_it_and_plans_without_a_doubt(module: str) -> None:
    dag = graph_in(module).graph

    assert dag.name == module
    assert check(dag, registry.jobs) == []
    assert not dag.required, "a schedule gives no parameters, so each needs a default"
    assert dag.description
    assert dag.owner
    assert plan(dag).critical_path


@pytest.mark.parametrize("module", MODULES)
def test_every_graph_stands_in_the_readme_with_its_file(module: str) -> None:
    assert f"| `{module}` |" in README, "add a row to the table in dags/README.md"


@pytest.mark.parametrize("module", MODULES)
def test_no_graph_fires_more_often_than_once_an_hour(module: str) -> None:
    for schedule in graph_in(module).graph.schedules:
        first, second = upcoming(schedule.when, 1_800_000_000_000, 2)
        assert second - first >= 3_600_000


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('[[check]]\nid = "a"\njbo = "checks.doctor"\n', "expected id and job, and perhaps with and after; got id, jbo"),
        ('[[check]]\nid = "a"\njob = "checks.doctor"\nafter = ["b"]\n', "check 'a' is after 'b', which is no check above it"),
        ('[[check]]\nid = "a"\njob = "checks.docter"\n', "check 'a' names 'checks.docter', which is no job in jobs/"),
    ],
)
def test_a_file_of_checks_that_makes_no_graph_is_refused_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, sentence: str
) -> None:
    (tmp_path / "service_checks.toml").write_text(text)
    monkeypatch.setattr(service_checks, "FILE", tmp_path / "service_checks.toml")

    with pytest.raises(service_checks.BadCheck, match=f"service_checks.toml: {sentence}"):
        [service_checks._job(row) for row in service_checks._checks()]

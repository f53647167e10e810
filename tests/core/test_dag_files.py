"""Recorded graphs, in each form that is known, become nodes that take the recorded time or run the recorded program."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from backbeat.core.dag_check import validated
from backbeat.core.dag_files import read
from backbeat.errors import GraphError

NEW = {
    "name": "new",
    "workflow": {
        "specification": {
            "tasks": [{"name": "split", "id": "t1", "parents": []}, {"name": "join", "id": "t2", "parents": ["t1"]}]
        },
        "execution": {
            "tasks": [
                {"id": "t1", "runtimeInSeconds": 2.0, "command": {"program": "split", "arguments": ["-n", 4]}},
                {"id": "t2", "runtimeInSeconds": 4, "command": {"program": "join"}},
            ]
        },
    },
}
OLD = {
    "name": "old",
    "workflow": {
        "tasks": [
            {"name": "split_1", "id": "ID1", "runtime": 2.0, "parents": []},
            {"name": "join_1", "id": "ID2", "runtime": 4.0, "parents": ["split_1"]},
        ]
    },
}


@pytest.mark.parametrize(("data", "ids"), [(NEW, ["t1", "t2"]), (OLD, ["ID1", "ID2"])])
def test_both_ages_of_wfformat_become_timed_nodes(data: dict[str, Any], ids: list[str]) -> None:
    dag = read(data, scale=0.5)

    assert [node.id for node in dag.nodes] == ids
    assert [(node.job, node.kwargs, node.estimate) for node in dag.nodes] == [
        ("timed.sleep", {"seconds": 1.0}, 1.0),
        ("timed.sleep", {"seconds": 2.0}, 2.0),
    ]
    assert dag.nodes[1].after == (ids[0],), "older files name parents by name"


def test_nodes_may_run_the_recorded_programs() -> None:
    dag = read(NEW, commands=True)

    assert [(node.job, node.kwargs) for node in dag.nodes] == [
        ("commands.run", {"argv": ["split", "-n", "4"]}),
        ("commands.run", {"argv": ["join"]}),
    ]


@pytest.mark.parametrize(
    ("data", "commands", "sentences"),
    [
        ({"tasks": {}}, False, ["expected 'tasks' to be a list; got dict"]),
        (
            {"tasks": [1, {"id": "a", "runtime_s": "long"}]},
            False,
            ["task 1: expected an object", "task 2: expected the run time of 'a'"],
        ),
        (
            {"tasks": [{"id": "a", "runtime_s": -1}, {"runtime_s": 1}]},
            False,
            ["0 or more; got -1", "task 2: expected an id or a name"],
        ),
        ({"tasks": [{"id": "a", "parents": "b"}]}, False, ["expected 'parents' of 'a' to be a list; got str"]),
        ({"workflow": []}, False, ["expected 'workflow' to be an object; got list"]),
        (OLD, True, ["'ID1' names no program", "'ID2' names no program"]),
    ],
)
def test_everything_that_is_odd_about_a_recorded_graph_is_told_at_once(data: Any, commands: bool, sentences: list[str]) -> None:
    with pytest.raises(GraphError) as refused:
        read(data, commands=commands)

    for sentence in sentences:
        assert sentence in str(refused.value)


def test_the_graph_of_the_howto_can_run() -> None:
    page = (Path(__file__).parents[2] / "docs" / "howto" / "import-a-graph.md").read_text()

    dag = validated(read(yaml.safe_load(page.split("```yaml")[1].split("```")[0])), {"commands.run"})

    assert [str(node.rule) for node in dag.nodes] == ["all_success", "all_success", "any_failed"]
    assert dag.params == {"day": "today"}

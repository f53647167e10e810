"""A DAG survives the way to JSON and back, and graphs that others recorded can be read."""

from __future__ import annotations

import json
import pickle
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backbeat.core.dag import Dag, Engine, Node, Param, Ref, Rule, case_of, passed_over, resolve
from backbeat.core.dag_data import decode, encode, from_data, to_data
from backbeat.core.dag_files import from_wfformat, read
from backbeat.core.job import Misfire, Overlap, Schedule
from backbeat.core.retry import Retry
from backbeat.core.when import Cron, Every, Once, Solar
from backbeat.errors import GraphError
from tests.core.graphs import ABSENT, RECORDED, dags, load, measures, of

FULL = Dag(
    "etl.daily",
    (
        Node("regions", "etl.regions", kwargs={"day": Param("day")}, cases={"eu": ("extract",), "*": ()}),
        Node(
            "extract", "etl.extract", kwargs={"day": Param("day")}, over=Ref("regions", ("names",)), max_parallel=4, group="load"
        ),
        Node("fixed", "etl.extract", over=("a", {"$ref": "not a reference"}), pool="big", priority=8),
        Node(
            "alert",
            "mail.send",
            ("failed", [Ref("extract")]),
            after=("fixed",),
            rule=Rule.ANY_FAILED,
            retry=Retry(3, cap="1m"),
            timeout=1.5,
        ),
    ),
    params={"limit": 10},
    required=("day",),
    schedules=(
        Schedule(Cron("0 4 * * *", "Europe/Berlin", fold="both"), key="early", kwargs={"limit": 3}, jitter=30.0),
        Schedule(Cron("0 0 2 * * ?", dialect="quartz", days="both"), key="quartz"),
        Schedule(Every("5m", datetime(2026, 1, 1, tzinfo=UTC)), enabled=False),
        Schedule(Solar("sunset", 52.5, 13.4), key="evening"),
        Schedule(Once(datetime(2026, 12, 24, 18, tzinfo=UTC)), start=1_700_000_000_000),
    ),
    retry=Retry(1),
    urgent_path=True,
    engine=Engine.LEDGER,
    timeout=7200.0,
    max_active=1,
    overlap=Overlap.QUEUE,
    misfire=Misfire.ALL,
    owner="team-x",
    labels={"tier": "1"},
    description="Loads the day.",
)

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.builds(Ref, st.text(max_size=3))
    | st.builds(Param, st.text(max_size=3)),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "$ref", "$param", "$value", "path"]), inner, max_size=3)
    ),
    max_leaves=8,
)


def test_everything_a_dag_can_say_survives_json() -> None:
    assert from_data(json.loads(json.dumps(to_data(FULL)))) == FULL
    assert pickle.loads(pickle.dumps(FULL)) == FULL


def test_what_equals_the_default_is_left_out() -> None:
    assert to_data(of(a="", b="a")) == {
        "dag": "g",
        "nodes": [{"id": "a", "job": "job.a"}, {"id": "b", "job": "job.b", "after": ["a"]}],
    }


@given(VALUES)
def test_no_value_of_an_author_is_taken_for_a_reference(value: Any) -> None:
    assert decode(json.loads(json.dumps(encode(value)))) == value


@settings(max_examples=50, deadline=None)
@given(dags(rules=tuple(Rule), estimates=True))
def test_random_dags_survive_json(dag: Dag) -> None:
    assert from_data(json.loads(json.dumps(to_data(dag)))) == dag


def test_the_version_follows_the_graph_and_nothing_else() -> None:
    same = from_data(to_data(FULL) | {"owner": "team-y", "schedules": [], "priority": 9})
    other = from_data(to_data(FULL) | {"params": {"limit": 11}})

    assert FULL.version == same.version
    assert FULL.version != other.version
    assert len(FULL.version) == 16


def test_every_mistake_in_a_file_is_told_with_its_place() -> None:
    with pytest.raises(GraphError) as refused:
        from_data(
            {
                "dag": "etl",
                "nodes": [
                    {"id": "a", "job": "x", "rule": "all_good"},
                    {"id": "b", "jobb": "x"},
                    {"job": "x"},
                    {"id": "d", "job": "x", "timeout": "soon"},
                ],
                "schedules": [{"crom": "* * * * *"}, {"tz": "UTC"}],
            }
        )

    told = refused.value.problems
    assert told[0].startswith("node a: expected rule to be one of all_success, all_done")
    assert told[1].startswith("node b: a node has no 'jobb'; it has id, job, args, kwargs")
    assert told[1].endswith("Did you mean 'job'?")
    assert told[2] == "node 3: expected 'id' to be a name; got None."
    assert told[3].startswith("node d: expected a duration")
    assert "Did you mean 'cron'?" in told[4]
    assert "expected one of 'cron', 'every', 'once', 'when'; got tz" in told[5]


def test_references_are_resolved_and_nodes_without_output_stand_as_none() -> None:
    outputs = {"load": {"rows": [3, 4]}}

    assert resolve({"first": Ref("load", ("rows", 0)), "all": [Ref("load"), Param("day")]}, outputs, {"day": "mon"}) == {
        "first": 3,
        "all": [{"rows": [3, 4]}, "mon"],
    }
    assert resolve(Ref("failed", ("rows",)), outputs, {}) is None
    with pytest.raises(GraphError, match=r"load: expected its output to have 'lines'; got keys rows\."):
        resolve(Ref("load", ("lines",)), outputs, {})


@pytest.mark.parametrize(
    ("output", "left_out"),
    [("eu", {"b", "c"}), (["eu", "us"], {"c"}), ("asia", {"a", "b"}), (None, {"a", "b"}), ([], {"a", "b"})],
)
def test_a_choice_leaves_out_the_children_of_other_cases(output: Any, left_out: set[str]) -> None:
    node = Node("where", "x", cases={"eu": ("a",), "us": ("b",), "*": ("c",)})

    assert passed_over(node, output) == left_out


def test_cases_are_looked_up_as_json_writes_them() -> None:
    assert [case_of(value) for value in ("eu", True, None, 3)] == ["eu", "true", "null", "3"]
    assert passed_over(Node("a", "x", cases={"true": ("b",), "false": ("c",)}), output=False) == {"b"}


@pytest.mark.skipif(not RECORDED, reason=ABSENT)
@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_recorded_graphs_are_read_whole(path: Path) -> None:
    dag, row = read(load(path), scale=0.5), measures()[path.stem]

    assert len(dag.nodes) == row["nodes"]
    assert len(dag.shape.parents) == row["edges"]
    if row["has_runtimes"]:
        assert sum(node.estimate or 0 for node in dag.nodes) == pytest.approx(row["total_runtime_s"] / 2, abs=0.05)
    assert from_data(to_data(dag)) == dag


def test_wfformat_of_both_generations_is_read() -> None:
    old = {
        "name": "w 1",
        "workflow": {
            "tasks": [{"name": "a", "runtime": 2, "parents": []}, {"name": "b/1", "runtimeInSeconds": 3, "parents": ["a"]}]
        },
    }
    new = {
        "name": "w 1",
        "workflow": {
            "specification": {"tasks": [{"id": "a", "name": "A", "parents": []}, {"id": "b/1", "name": "B", "parents": ["a"]}]},
            "execution": {"tasks": [{"id": "a", "runtimeInSeconds": 2}, {"id": "b/1", "runtimeInSeconds": 3}]},
        },
    }

    assert from_wfformat(old) == from_wfformat(new)
    assert read(new).name == "w_1"
    assert read(new).by_id["b_1"] == Node("b_1", "timed.sleep", kwargs={"seconds": 3.0}, after=("a",), estimate=3.0)


def test_ids_that_would_become_equal_stay_apart() -> None:
    dag = read({"name": "g", "tasks": [{"id": "a/1", "parents": []}, {"id": "a:1", "parents": ["a/1"]}]})

    assert [(node.id, node.parents) for node in dag.nodes] == [("a_1", ()), ("a_1-2", ("a_1",))]


def test_a_file_of_no_known_form_is_refused() -> None:
    with pytest.raises(GraphError, match=r"expected an object with 'nodes' \(ours\), 'tasks' .* got jobs\."):
        read({"jobs": []})


@pytest.mark.parametrize(
    ("node", "dag", "sentence"),
    [
        ({"max_parallel": "x"}, {}, "expected 'max_parallel' to be a whole number; got 'x'"),
        ({"choose": 5}, {}, "expected 'choose' to be an object of lists; got 5"),
        ({"choose": {"a": [1]}}, {}, "expected 'a' to be a list of names; got 1 in it"),
        ({"map": 5}, {}, "expected 'map' to be a list or a reference to one; got 5"),
        ({"kwargs": [1]}, {}, "expected 'kwargs' to be an object; got [1]"),
        ({"kwargs": {1: 2}}, {}, "expected the names in 'kwargs' to be text; got 1"),
        ({"after": [None]}, {}, "expected 'after' to be a list of names; got None in it"),
        ({"args": [{"$ref": 3}]}, {}, 'expected {"$ref": "node", "path": ["key", 0]}; got'),
        ({"args": [{"$value": 3}]}, {}, "expected '$value' to hold an object; got 3"),
        ({"pool": 3}, {}, "expected 'pool' to be text; got 3"),
        ({"priority": 12}, {}, "expected 0 to 9"),
        ({}, {"max_active": 0}, "expected 'max_active' to be 1 or more; got 0"),
        ({}, {"enabled": "yes"}, "expected 'enabled' to be true or false; got 'yes'"),
        ({}, {"params": 5}, "expected 'params' to be an object; got 5"),
    ],
)
def test_a_value_of_the_wrong_kind_is_told_with_what_was_expected(
    node: dict[str, Any], dag: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(GraphError) as refused:
        from_data({"dag": "g", "nodes": [{"id": "a", "job": "x", **node}], **dag})

    assert sentence in str(refused.value)


def test_cases_of_yaml_that_are_no_text_become_what_outputs_are_compared_with() -> None:
    (node,) = from_data({"dag": "g", "nodes": [{"id": "a", "job": "x", "choose": {True: ["b"], 3: ["c"]}}]}).nodes

    assert node.cases == {"true": ("b",), "3": ("c",)}

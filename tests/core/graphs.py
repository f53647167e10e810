"""Graphs for tests: random ones, and the recorded ones beside the checkout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from backbeat.core.dag import Dag, Node, Rule

DATA = Path(__file__).parents[2].parent / "shared" / "data"
"""Recorded graphs (see its README); they are not part of the repository."""
ABSENT = f"the recorded graphs are not here ({DATA})"
RECORDED = sorted(path for path in (DATA / "dags").glob("*.json") if path.stem != "index")
CYCLIC = DATA / "dags_cyclic" / "spack-with-conditional.json"


def load(path: Path) -> dict[str, Any]:
    """One recorded graph."""
    data: dict[str, Any] = json.loads(path.read_text())
    return data


def measures() -> dict[str, dict[str, Any]]:
    """What was measured of each recorded graph by its collectors, by name."""
    rows = json.loads((DATA / "dags" / "index.json").read_text())
    return {row["name"]: row for row in rows}


def of(**parents: str) -> Dag:
    """A DAG written as `of(a="", b="a", c="a b")`: each node with the nodes it waits for."""
    return Dag("g", tuple(Node(name, f"job.{name}", after=tuple(above.split())) for name, above in parents.items()))


@st.composite
def dags(draw: st.DrawFn, most: int = 12, rules: tuple[Rule, ...] = (Rule.ALL_SUCCESS,), estimates: bool = False) -> Dag:
    """Random acyclic graphs, drawn in any order."""
    count = draw(st.integers(1, most))
    nodes = []
    for number in range(count):
        above = draw(st.sets(st.integers(0, number - 1), max_size=4)) if number else set()
        known = [rule for rule in rules if above or not rule.startswith("any_")]
        nodes.append(
            Node(
                f"n{number}",
                draw(st.sampled_from(["etl.load", "etl.store"])),
                after=tuple(f"n{parent}" for parent in sorted(above)),
                rule=draw(st.sampled_from(known)),
                estimate=float(draw(st.integers(0, 9))) if estimates else None,
            )
        )
    return Dag("random", tuple(draw(st.permutations(nodes))))

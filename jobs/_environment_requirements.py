"""Whether what is installed fits together: requirements, markers and extras as packaging.python.org defines them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import networkx as nx
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

SHOWN_CYCLES = 20


@dataclass(frozen=True, slots=True)
class Installed:
    """One installed distribution and the requirement lines it states."""

    name: str
    version: str
    requires: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The name as requirements are matched by: lower case, one kind of dash."""
        return str(canonicalize_name(self.name))

    @classmethod
    def read(cls, distribution: metadata.Distribution) -> Installed:
        """What a distribution says of itself."""
        return cls(distribution.metadata["Name"], distribution.version, tuple(distribution.requires or ()))


@dataclass(frozen=True, slots=True)
class _Need:
    by: Installed
    requirement: Requirement

    @property
    def key(self) -> str:
        return str(canonicalize_name(self.requirement.name))

    @property
    def text(self) -> str:
        return f"{self.requirement.name}{f'[{self._extras}]' if self._extras else ''}{self.requirement.specifier}"

    @property
    def _extras(self) -> str:
        return ",".join(sorted(self.requirement.extras))


def examined(installed: Sequence[Installed]) -> dict[str, Any]:
    """All requirements that apply here, and which of them are missing, in conflict, or go in circles."""
    by_key = {one.key: one for one in installed}
    notes: list[str] = []
    needs = list(_needs(by_key, notes))
    graph = nx.DiGraph()
    graph.add_nodes_from(by_key)
    graph.add_edges_from((need.by.key, need.key) for need in needs if need.key in by_key and need.key != need.by.key)
    conflicts = [row for need in needs if need.key in by_key and (row := _conflict(need, by_key[need.key], notes))]
    return {
        "missing": [{"by": need.by.name, "needs": need.text} for need in needs if need.key not in by_key],
        "conflicts": conflicts,
        "cycles": [[by_key[key].name for key in cycle] for cycle in _cycles(graph)][:SHOWN_CYCLES],
        "edges": sorted({(by_key[a].name, by_key[b].name) for a, b in graph.edges}),
        "depth": nx.dag_longest_path_length(nx.condensation(graph)) + 1 if by_key else 0,
        "roots": sorted(by_key[key].name for key, degree in graph.in_degree() if not degree),
        "notes": sorted(set(notes)),
    }


def _needs(by_key: dict[str, Installed], notes: list[str]) -> Iterator[_Need]:
    """Each requirement whose marker holds, with the extras that somebody asked for, and what those ask for in turn."""
    asked = [(one, "") for one in by_key.values()]
    seen: set[tuple[str, str]] = set()
    told: set[tuple[str, str]] = set()
    while asked:
        one, extra = asked.pop()
        if (one.key, extra) in seen:
            continue
        seen.add((one.key, extra))
        for need in _applying(one, extra, notes):
            if (one.key, str(need.requirement)) not in told:
                told.add((one.key, str(need.requirement)))
                yield need
            if need.key in by_key:
                asked += [(by_key[need.key], wanted) for wanted in need.requirement.extras]


def _applying(one: Installed, extra: str, notes: list[str]) -> Iterator[_Need]:
    for line in one.requires:
        try:
            requirement = Requirement(line)
        except InvalidRequirement as error:
            notes.append(f"{one.name}: can't read the requirement {line!r}: {str(error).splitlines()[0]}")
            continue
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            yield _Need(one, requirement)


def _conflict(need: _Need, there: Installed, notes: list[str]) -> dict[str, str] | None:
    try:
        version = Version(there.version)
    except InvalidVersion:
        notes.append(f"{there.name}: its version {there.version!r} is no version that can be compared")
        return None
    if need.requirement.specifier.contains(version, prereleases=True):
        return None
    return {"by": need.by.name, "needs": need.text, "installed": there.version}


def _cycles(graph: nx.DiGraph[str]) -> Iterator[list[str]]:
    """One shortest cycle for each tangle, closed: its first name stands at its end again."""
    for tangle in nx.strongly_connected_components(graph):
        if len(tangle) > 1:
            inside = graph.subgraph(tangle)
            ways = (nx.shortest_path(inside, child, node) for node in sorted(tangle) for child in sorted(inside[node]))
            shortest = min(ways, key=len)
            yield [shortest[-1], *shortest]

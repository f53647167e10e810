"""What must be true of a DAG run, whatever happened to it: read from the effects of its jobs and from history.

The rules are written down here a second time, from their description alone, so that a mistake in the engine's own table
(core/dag_state.py, lua/dag.lua) shows.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import networkx as nx

from backbeat.core.dag import Dag, Engine, Node, Ref, Rule
from backbeat.core.retry import Retry
from tests.support.deployment import Deployment
from tests.support.eventually import eventually

JOBS = '''
"""Jobs of proofs: each says when it began and how it ended."""
from backbeat import current_run, job
from probe_jobs import effect

def work(returns=None, fail: bool = False, fail_first: bool = False, **inputs):
    effect("begin")
    if fail or (fail_first and current_run().attempt == 1):
        effect("fail")
        raise RuntimeError("told to fail")
    effect("end")
    return returns

def work_on(number: int, fail: list[int] = [], **inputs) -> int:
    effect("begin")
    if number in fail:
        effect("fail")
        raise RuntimeError("told to fail")
    effect("end")
    return 2 * number

node, item = job("proof.node")(work), job("proof.item")(work_on)
tiny, tiny_item = job("tiny.node", batch=4, overlap="allow")(work), job("tiny.item", batch=4, overlap="allow")(work_on)
'''
OK, FAILED, SKIPPED, GIVEN_UP = "succeeded", "failed", "skipped", "upstream_failed"


@dataclass
class Case:
    """A graph, and what its nodes were told to do."""

    dag: Dag
    fails: set[str] = field(default_factory=set)
    flaky: set[str] = field(default_factory=set)
    left_out: dict[str, str] = field(default_factory=dict)
    """Child → the choosing node that leaves it out when it succeeds."""
    items: dict[str, int] = field(default_factory=dict)
    """Mapped node → how many items it has."""

    @property
    def run_id(self) -> str:
        """The run that `Proof` checks."""
        return f"{self.dag.name}:1"


def ends(case: Case) -> dict[str, str]:
    """The state of every node, told from the rules' description."""
    graph = nx.DiGraph([(parent, node.id) for node in case.dag.nodes for parent in node.parents])
    graph.add_nodes_from(case.dag.by_id)
    states: dict[str, str] = {}
    for name in nx.topological_sort(graph):
        above = [states[parent] for parent in graph.predecessors(name)]
        fate = SKIPPED if states.get(case.left_out.get(name, "")) == OK else _fate(case.dag.by_id[name].rule, above)
        states[name] = fate or (FAILED if name in case.fails else OK)
    return states


def _fate(rule: Rule, above: list[str]) -> str | None:
    """How a node ends that never runs; None when it runs."""
    good, skipped = above.count(OK), above.count(SKIPPED)
    bad = len(above) - good - skipped
    if rule is Rule.ALL_DONE or not above:
        return None
    if rule is Rule.ANY_FAILED:
        return None if bad else SKIPPED
    if rule is Rule.ANY_SUCCESS:
        return None if good else GIVEN_UP if bad else SKIPPED
    if bad:
        return GIVEN_UP
    return SKIPPED if skipped and rule is Rule.ALL_SUCCESS else None


class Proof:
    """Everything that one deployment's jobs did, by DAG run."""

    def __init__(self, site: Deployment) -> None:
        self.site = site
        self._lines: dict[str, dict[str, list[tuple[int, str]]]] = defaultdict(lambda: defaultdict(list))
        lines = site.effects_file.read_text().splitlines() if site.effects_file.exists() else []
        # Lines are appended in one write each, so their order is the order in which things happened.
        for number, line in enumerate(lines):
            word, name, _ = line.split(" ", 2)
            run, _, label = name.rpartition("/")
            self._lines[run][label].append((number, word))

    def check(self, case: Case, kills: int = 0) -> None:
        """Every node once, in order, and in the state that its rule says. With kills, an attempt may have come to its
        end and died before it could tell."""
        states = ends(case)
        seen = self.site.store.dags.see(case.run_id)
        expected = OK if set(states.values()) <= {OK, SKIPPED} else FAILED
        if seen is not None:
            assert seen.facts.get("end") == expected
        self._recorded(case, states)
        done = self._lines[case.run_id]
        counts = {label: _counted(lines) for label, lines in done.items()}
        wanted = {label: (1 + (node in case.flaky)) for node, label in _labels(case, states)}
        assert counts.keys() == wanted.keys()
        for label, count in counts.items():
            # A second try that was promised may have been spent on a death instead.
            assert (1 if kills else wanted[label]) <= count <= wanted[label] + kills, f"{case.run_id}/{label}: {done[label]}"
        self._in_order(case, states)

    def _recorded(self, case: Case, states: Mapping[str, str]) -> None:
        sql = f"select node, state from backbeat_run where dag_run = '{case.run_id}' and node not like '%[%'"
        rows = lambda: dict(self.site.rows(sql))  # noqa: E731
        eventually(lambda: rows() == states, within=60, message=lambda: str(set(states.items()) ^ set(rows().items())))

    def _in_order(self, case: Case, states: Mapping[str, str]) -> None:
        over: dict[str, int] = {}
        graph = nx.DiGraph([(parent, node.id) for node in case.dag.nodes for parent in node.parents])
        graph.add_nodes_from(case.dag.by_id)
        mine = dict(_labels(case, states, grouped=True))
        for name in nx.topological_sort(graph):
            above = {parent: over[parent] for parent in graph.predecessors(name)}
            lines = [line for label in mine.get(name, ()) for line in self._lines[case.run_id][label]]
            need = _needed(case.dag.by_id[name].rule, above, states)
            if lines:
                assert min(lines)[0] > need, f"{case.run_id}/{name} began at line {min(lines)[0]}, its parents ended at {need}"
            if lines:
                over[name] = max(_over(self._lines[case.run_id][label]) for label in mine[name])
            else:
                # A map over nothing ends as soon as it may begin; what never ran ended when its last parent did.
                over[name] = need if states[name] == OK else max(above.values(), default=-1)


def _over(lines: Iterable[tuple[int, str]]) -> int:
    """Where a run was over for the first time: a killed attempt may be followed by more."""
    return min([number for number, word in lines if word == "end"] or [number for number, word in lines if word == "fail"])


def _counted(lines: Iterable[tuple[int, str]]) -> int:
    return sum(word != "begin" for _, word in lines)


def _labels(case: Case, states: Mapping[str, str], *, grouped: bool = False) -> Iterator[Any]:
    """(node, label) of every run that must have been; with `grouped` (node, its labels)."""
    for name in case.dag.by_id:
        if states[name] in (OK, FAILED):
            labels = [f"{name}[{number}]" for number in range(case.items[name])] if name in case.items else [name]
            yield from [(name, labels)] if grouped else [(name, label) for label in labels]


def _needed(rule: Rule, above: Mapping[str, int], states: Mapping[str, str]) -> int:
    """The line after which a node may begin."""
    if rule is Rule.ANY_FAILED:
        return min((line for name, line in above.items() if states[name] in (FAILED, GIVEN_UP)), default=-1)
    if rule is Rule.ANY_SUCCESS:
        return min((line for name, line in above.items() if states[name] == OK), default=-1)
    return max(above.values(), default=-1)


def random_case(seed: int, most: int = 14, engine: Engine = Engine.AUTO) -> Case:
    """A graph with every rule, choices, lists, outputs handed on, failures and second tries; the same for the same seed."""
    chance = random.Random(seed)
    case, nodes = Case(Dag(f"random{seed}-{engine}", ())), []
    for number in range(chance.randint(1, most)):
        nodes.append(_random_node(chance, case, nodes, f"n{number}"))
    nodes = [_choosing(chance, case, nodes, place) for place in range(len(nodes))]
    case.dag = Dag(case.dag.name, tuple(nodes), engine=engine)
    return case


def _random_node(chance: random.Random, case: Case, nodes: list[Node], name: str) -> Node:
    above = chance.sample([node.id for node in nodes], k=min(len(nodes), chance.choice((0, 1, 1, 2, 2, 3))))
    rule = chance.choice(list(Rule)) if above and chance.random() < 0.5 else Rule.ALL_SUCCESS
    kwargs: dict[str, Any] = {parent: Ref(parent) for parent in above if chance.random() < 0.4}
    if chance.random() < 0.2:
        case.items[name] = count = chance.choice((0, 1, 3, 5))
        if count and chance.random() < 0.3:
            case.fails.add(name)
            kwargs["fail"] = [chance.randrange(count)]
        most_at_once = chance.choice((None, 1, 2))
        return Node(name, "proof.item", (), kwargs, tuple(above), over=tuple(range(count)), max_parallel=most_at_once, rule=rule)
    retry = None
    if chance.random() < 0.2:
        case.fails.add(name)
        kwargs["fail"] = True
    elif chance.random() < 0.15:
        case.flaky.add(name)
        kwargs["fail_first"] = True
        retry = Retry(2, delay="20ms", jitter=False)
    return Node(name, "proof.node", (), kwargs, tuple(above), rule=rule, retry=retry)


def _choosing(chance: random.Random, case: Case, nodes: list[Node], place: int) -> Node:
    """Some plain nodes choose between their children."""
    node = nodes[place]
    waiting = (Rule.ALL_SUCCESS, Rule.ALL_DONE, Rule.NONE_FAILED)
    below = [child.id for child in nodes if node.id in child.parents and child.rule in waiting and child.id not in case.left_out]
    if node.over is not None or len(below) < 2 or chance.random() < 0.5:
        return node
    cut = chance.randint(1, len(below) - 1)
    case.left_out |= dict.fromkeys(below[cut:], node.id)
    return node._replace(
        kwargs={**node.kwargs, "returns": "left"}, cases={"left": tuple(below[:cut]), "right": tuple(below[cut:])}
    )


def layered(nodes: int, edges: int, seed: int = 1, job: str = "proof.node") -> Dag:
    """A graph of any size: a twentieth are roots, edges reach far back, and five nodes have very many children."""
    chance = random.Random(seed)
    above: list[set[int]] = [set() for _ in range(nodes)]
    hubs = chance.sample(range(nodes // 20), k=5)
    for child in range(nodes // 20, nodes):
        above[child].add(chance.choice(hubs) if chance.random() < 0.2 else chance.randrange(max(0, child - 3_000), child))
    left = edges - sum(map(len, above))
    while left > 0:
        child = chance.randrange(nodes // 20, nodes)
        parent = chance.randrange(max(0, child - 3_000), child)
        left -= parent not in above[child]
        above[child].add(parent)
    names = [f"t{number:05d}" for number in range(nodes)]
    return Dag(
        f"layered{nodes}",
        tuple(Node(names[n], job, after=tuple(names[parent] for parent in sorted(above[n]))) for n in range(nodes)),
    )

"""Working out what a DAG run's state ought to be: to mend one that stands still, or to run some of its nodes again.

Both come to the same: choose a letter for every node, and everything else (counters, what is left, what starts) follows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from backbeat.core.dag import Dag
from backbeat.core.dag_state import Verdict, verdict
from backbeat.core.dag_wire import CHOOSING, EXPANDING, LEFT_OUT, PENDING, QUEUED, counters, ended, ended_badly

_NEVER_RAN = frozenset("ku")


@dataclass(frozen=True, slots=True)
class Mended:
    """The state to write. `steps` queue what may run now, `questions` ask again what a process must find out."""

    codes: str
    counters: bytes
    left: int
    bad: int
    steps: tuple[str, ...] = ()
    questions: tuple[str, ...] = ()
    attempts: Mapping[str, int] = field(default_factory=dict)


def mended(dag: Dag, codes: Sequence[str], steps: Sequence[str] = (), attempts: Mapping[str, int] | None = None) -> Mended:
    """The consistent state with these letters; `steps` come first."""
    sums = counters(dag, codes)
    # What is pending gets a push: the steps look at the counters and start, skip or leave each.
    pushes = [f"d:{place}" for place, code in enumerate(codes) if code in (PENDING, LEFT_OUT)]
    return Mended(
        codes="".join(codes),
        counters=sums,
        left=sum(not ended(code) for code in codes),
        bad=sum(map(ended_badly, codes)),
        steps=(*steps, *(push for push in pushes if _moves(dag, codes, int(push[2:])))),
        questions=tuple(
            f"{'e' if code == EXPANDING else 'c'}:{place}" for place, code in enumerate(codes) if code in (EXPANDING, CHOOSING)
        ),
        attempts=attempts or {},
    )


def stuck(dag: Dag, codes: Sequence[str], gone: Collection[int] = ()) -> bool:
    """Whether some node waits for nothing: its parents have ended, or its run is `gone` though it is said to be queued."""
    return bool(gone) or any(code in (PENDING, LEFT_OUT) and _moves(dag, codes, place) for place, code in enumerate(codes))


def requeued(dag: Dag, codes: Sequence[str], gone: Collection[int]) -> Mended:
    """The same run, with the nodes whose runs are gone pending again."""
    return mended(dag, [PENDING if place in gone else code for place, code in enumerate(codes)])


@dataclass(frozen=True, slots=True)
class Again:
    """Which nodes are to run again. `items` keeps a mapped node's good items and runs the named ones only."""

    nodes: frozenset[int]
    items: Mapping[int, Sequence[int]] = field(default_factory=dict)


def failed_nodes(codes: Sequence[str]) -> frozenset[int]:
    """The nodes that ended badly, or never ran because others did."""
    return frozenset(place for place, code in enumerate(codes) if ended_badly(code))


def below(dag: Dag, nodes: Collection[int]) -> frozenset[int]:
    """These nodes and everything behind them."""
    found, look = set(nodes), list(nodes)
    while look:
        for child in dag.shape.children_of(look.pop()):
            if child not in found:
                found.add(child)
                look.append(child)
    return frozenset(found)


def again(dag: Dag, codes: Sequence[str], what: Again, attempts_of: Callable[[str], int | None]) -> Mended:
    """The state in which the chosen nodes run again and all others keep their results.

    `attempts_of` tells how many attempts a node ('3') or item ('3:7') had, None when that was never written: one.
    """
    new = list(codes)
    steps: list[str] = []
    attempts: dict[str, int] = {}
    for place in sorted(what.nodes):
        if place in what.items:
            new[place] = QUEUED
            steps += [f"i:{place}:{item}" for item in what.items[place]]
        else:
            new[place] = PENDING
        had = attempts_of(str(place))
        attempts[str(place)] = had if had is not None else 0 if codes[place] in _NEVER_RAN else 1
    for place, items in what.items.items():
        attempts |= {f"{place}:{item}": had if (had := attempts_of(f"{place}:{item}")) is not None else 1 for item in items}
    return mended(dag, new, steps, attempts)


def _moves(dag: Dag, codes: Sequence[str], place: int) -> bool:
    node, parents = dag.nodes[place], dag.shape.parents_of(place)
    ends = [codes[parent] for parent in parents]
    skipped, bad = ends.count("k"), sum(map(ended_badly, ends))
    good = ends.count("s")
    if codes[place] == LEFT_OUT:
        return good + bad + skipped == len(parents)
    return verdict(node.rule, len(parents), good, bad, skipped) is not Verdict.WAIT

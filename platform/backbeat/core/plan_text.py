"""A plan for people's eyes: text, Graphviz DOT and Mermaid."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence

from backbeat.core.dag import Node, Rule
from backbeat.core.duration import words
from backbeat.core.plan import Plan
from backbeat.core.plan_cost import cost
from backbeat.core.plan_reduce import reduction
from backbeat.core.plan_segments import Kind, Why, why_ledger
from backbeat.core.plan_series import decompose

ROWS = 200
"""Nodes and edges listed one by one; a longer list is cut, and says so."""
_LINE = 110


def text(plan: Plan, workers: int = 2, rows: int = ROWS) -> str:
    """The plan as a page of text: size, critical path, every node, and what becomes chain, chord or ledger edge, and why."""
    return (
        "\n".join([*_head(plan, workers), "", *_nodes(plan, rows), "", *_segments(plan, rows), "", *_ledger(plan, rows)]) + "\n"
    )


def ledger_edges(plan: Plan) -> Iterator[tuple[str, str, Why]]:
    """Every edge that the ledger releases, with the reason."""
    travels, could = plan.segment_of, plan.spared_of
    either = travels | could
    for node in plan.dag.nodes:
        for parent in node.parents:
            segment = either.get(parent)
            if segment is None or segment is not either.get(node.id):
                yield parent, node.id, why_ledger(plan.dag, parent, node.id, either)
            elif parent in could:
                yield parent, node.id, plan.spared[segment]


def dot(plan: Plan) -> str:
    """Graphviz. Edges that follow from others are left out; the critical path is bold, segments are coloured."""
    critical = set(plan.critical_path)
    lines = [f"digraph {json.dumps(plan.dag.name)} {{", "  rankdir=LR; node [shape=box, style=rounded, fontname=sans];"]
    for node in plan.dag.nodes:
        look = ', penwidth=2.5, color="#b45309"' if node.id in critical else ""
        lines.append(f"  {json.dumps(node.id)} [label={json.dumps(_label(node))}{look}];")
    for parent, child in reduction(plan.shape):
        look = _edge_look(plan, parent, child, critical)
        lines.append(f"  {json.dumps(parent)} -> {json.dumps(child)}{f' [{look}]' if look else ''};")
    return "\n".join([*lines, "}"]) + "\n"


def mermaid(plan: Plan) -> str:
    """A Mermaid flowchart, without the edges that follow from others; the critical path has thick arrows."""
    critical = set(plan.critical_path)
    name = {node.id: f"n{place}" for place, node in enumerate(plan.dag.nodes)}
    lines = ["flowchart LR"]
    for node in plan.dag.nodes:
        quoted = _label(node).replace('"', "&quot;").replace("\n", "<br>")
        opened, closed = ("[[", "]]") if node.over is not None else ("{{", "}}") if node.cases is not None else ("[", "]")
        lines.append(f'  {name[node.id]}{opened}"{quoted}"{closed}')
    for parent, child in reduction(plan.shape):
        arrow = "==>" if parent in critical and child in critical else "-->"
        lines.append(f"  {name[parent]} {arrow} {name[child]}")
    return "\n".join(lines) + "\n"


def _head(plan: Plan, workers: int) -> list[str]:
    dag, estimate = plan.dag, cost(plan, workers)
    path = plan.critical_path
    shown = " → ".join(path if len(path) <= 12 else (*path[:6], "…", *path[-5:]))
    sizes = f"{_count(len(dag.nodes), 'node')}, {_count(len(plan.shape.parents), 'edge')}, {_count(len(plan.levels), 'level')}"
    times = f"one after another {_time(estimate.serial)}; with {_count(workers, 'worker')} about {_time(estimate.makespan)}"
    bytes_ = f"about {_size(estimate.broker_bytes)} in the broker, {_size(estimate.ledger_bytes)} in the ledger"
    return [
        f"{dag.name}  version {dag.version}",
        f"{sizes}, {plan.width} side by side at most",
        f"critical path {_time(plan.critical_seconds)}: {shown}",
        f"{times}; {_count(estimate.messages, 'message')}, {bytes_}",
        *_shape(plan),
    ]


def _shape(plan: Plan) -> list[str]:
    """Of a small graph, whether it is made of nothing but "one after another" and "side by side", and how."""
    if len(plan.dag.nodes) > ROWS:
        return []
    tree = str(decompose(plan.shape) or "")
    return [f"series-parallel: {tree if len(tree) <= _LINE else 'yes'}" if tree else "not series-parallel"]


def _nodes(plan: Plan, rows: int) -> list[str]:
    critical, travels = set(plan.critical_path), _names(plan)
    table = [("level", "node", "job", "waits for", "takes", "slack", "travels in")]
    order = [node for level in plan.levels for node in level]
    level_of = {node: number for number, level in enumerate(plan.levels) for node in level}
    for name in order[:rows]:
        node, place = plan.dag.by_id[name], plan.shape.place[name]
        above = ", ".join(map(_short, node.parents[:3])) + (f" +{len(node.parents) - 3}" if len(node.parents) > 3 else "") or "-"
        took, slack = _time(plan.seconds[place]), "critical" if name in critical else _time(plan.slack[place])
        table.append((str(level_of[name]), name + _marks(node), node.job, above, took, slack, travels.get(name, "ledger")))
    return [*_columns(table), *_cut(len(order) - rows, "nodes")]


def _segments(plan: Plan, rows: int) -> list[str]:
    if not plan.segments:
        return ["canvas: nothing (every edge is released by the ledger)"]
    names = iter(dict.fromkeys(_names(plan).values()))
    listed = []
    for name, segment in zip(names, plan.segments, strict=True):
        chain = segment.kind is Kind.CHAIN
        way = " → ".join(segment.nodes) if chain else f"{', '.join(segment.nodes[:-1])} → {segment.nodes[-1]}"
        listed.append(f"  {name}: {way}  ({segment.reason})")
    return ["canvas:", *listed[:rows], *_cut(len(listed) - rows, "segments")]


def _ledger(plan: Plan, rows: int) -> list[str]:
    edges = list(ledger_edges(plan))
    if not edges:
        return ["ledger: no edge"]
    counts = Counter(why for *_, why in edges)
    lines = [f"ledger: {_count(len(edges), 'edge')}", *(f"  {count} because {why}" for why, count in counts.most_common())]
    listed = _columns([(f"  {parent} → {child}", str(why)) for parent, child, why in edges[:rows]])
    return [*lines, "", *listed, *_cut(len(edges) - rows, "edges")]


def _names(plan: Plan) -> dict[str, str]:
    counts: Counter[str] = Counter()
    names: dict[str, str] = {}
    for segment in plan.segments:
        counts[segment.kind] += 1
        names |= dict.fromkeys(segment.nodes, f"{segment.kind} {counts[segment.kind]}")
    return names


def _marks(node: Node) -> str:
    mapped = " [map]" if node.over is not None else ""
    return f"{mapped}{f' [{node.rule}]' if node.rule is not Rule.ALL_SUCCESS else ''}{' ?' if node.cases is not None else ''}"


def _short(name: str, most: int = 32) -> str:
    # The end of a long name is what tells it from its neighbours.
    return name if len(name) <= most else f"…{name[1 - most :]}"


def _label(node: Node) -> str:
    return f"{node.id}{_marks(node)}" + ("" if node.job.rpartition(".")[2] == node.id else f"\n{node.job}")


def _edge_look(plan: Plan, parent: str, child: str, critical: set[str]) -> str:
    looks = ['penwidth=2.5, color="#b45309"'] if parent in critical and child in critical else []
    segment = plan.segment_of.get(parent)
    if segment is not None and segment is plan.segment_of.get(child):
        looks.append(f'label="{segment.kind}", fontsize=9')
    return ", ".join(looks)


def _columns(table: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]


def _cut(hidden: int, what: str) -> list[str]:
    return [f"  … and {hidden:,} more {what}"] if hidden > 0 else []


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _time(length: float) -> str:
    return words(round(length) if length >= 10 else round(length, 3))


def _size(count: float) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"

"""`backbeat dag show`: a DAG run as a tree of bars in the terminal, once or until it has ended."""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from datetime import datetime
from typing import Any

import click

from backbeat.cli.common import use_django
from backbeat.core.gantt import Bar, lines, ordered, split
from backbeat.core.state import TERMINAL, RunState
from backbeat.core.when import to_ms
from backbeat.errors import UnknownRun

_EVERY = 0.5
_ROWS = 200


@click.command()
@click.argument("run_id", metavar="RUN")
@click.option("--watch", is_flag=True, help="Draw again until the run has ended; exit code 1 when it is not green.")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
def show(run_id: str, watch: bool, output: str) -> None:
    """Draw a DAG run: · waits in a queue, █ works, ▒ worked more than once. Exit code 3 when nobody knows the run."""
    use_django()
    while True:
        facts, bars = _facts(run_id)
        ended = facts["state"] in TERMINAL
        if output == "json":
            click.echo(json.dumps(facts | {"nodes": [_row(bar, facts["begun_ms"]) for bar in bars]}))
        else:
            if watch:
                click.clear()
            _draw(facts, bars)
        if ended or not watch:
            break
        time.sleep(_EVERY)
    if watch and facts["state"] != RunState.SUCCEEDED:
        raise click.exceptions.Exit(1)


def _facts(run_id: str) -> tuple[dict[str, Any], list[Bar]]:
    from backbeat.admin.dag_times import bars_of
    from backbeat.admin.models import DagRun

    dag_run = DagRun.objects.filter(pk=run_id).first()
    if dag_run is None:
        raise UnknownRun(f"history knows no DAG run {run_id!r} (yet).")
    bars = bars_of(run_id)
    graph = dag_run.graph or {"nodes": [], "edges": []}
    known = {bar.node for bar in bars}
    bars += [Bar(node["id"], RunState.PENDING) for node in graph["nodes"] if node["id"] not in known]
    facts = {
        "run": run_id,
        "dag": dag_run.dag,
        "version": dag_run.version,
        "state": RunState(dag_run.state),
        "reason": dag_run.reason,
        "begun_ms": None if dag_run.started_at is None else to_ms(dag_run.started_at),
        "started": _iso(dag_run.started_at),
        "finished": _iso(dag_run.finished_at),
        "counts": dict(Counter(str(bar.state) for bar in bars)),
    }
    return facts, ordered(bars, _levels(graph))


def _levels(graph: dict[str, Any]) -> dict[str, int]:
    from backbeat.core.dag import Node
    from backbeat.core.dag_shape import shape_of

    above: dict[str, list[str]] = {node["id"]: [] for node in graph["nodes"]}
    for parent, child in graph["edges"]:
        above[child].append(parent)
    shape = shape_of([Node(name, "", after=tuple(parents)) for name, parents in above.items()])
    return dict(zip(shape.ids, shape.level, strict=True))


def _draw(facts: dict[str, Any], bars: list[Bar]) -> None:
    counts = ", ".join(f"{count} {state}" for state, count in sorted(facts["counts"].items()))
    reason = f" ({facts['reason']})" if facts["reason"] else ""
    click.echo(f"{facts['run']}  {facts['state']}{reason}  {counts}")
    now, width = int(time.time() * 1000), shutil.get_terminal_size((120, 40)).columns
    for line in lines(bars[:_ROWS], now, width):
        click.echo(line)
    if len(bars) > _ROWS:
        click.echo(f"… and {len(bars) - _ROWS} more nodes; -o json has them all")


def _row(bar: Bar, begun: int | None) -> dict[str, Any]:
    now = int(time.time() * 1000)
    parts = split(bar, now if begun is None else begun, now)
    times = {"waiting_ms": parts.waiting, "queued_ms": parts.queued, "running_ms": parts.running, "retry_ms": parts.retry}
    return {"node": bar.node, "state": str(bar.state), "attempts": bar.attempts, **times}


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()

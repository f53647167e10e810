"""`backbeat dag`: look at graphs, plan them without a server, run them, and see to their runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from backbeat.cli.common import reaching_redis, use_app
from backbeat.cli.dag_show import show
from backbeat.cli.dag_verbs import cancel, go_on, hold, mark, rerun
from backbeat.cli.job_run import run
from backbeat.cli.listing import columns
from backbeat.conf import same_server, settings
from backbeat.core.dag_files import TIMED_JOB, read
from backbeat.errors import GraphError, UnknownJob, nearest

if TYPE_CHECKING:
    from backbeat.core.dag import Dag

ENGINES = ["auto", "canvas", "ledger"]
_FILE_OR_NAME = click.argument("what", metavar="NAME|FILE")
_JOB = click.option(
    "--job", default=TIMED_JOB, show_default=True, help="The job that nodes of a recorded graph run; it takes `seconds`."
)
_SCALE = click.option("--scale", default=1.0, show_default=True, help="What recorded run times are multiplied with.")


@click.group()
def dag() -> None:
    """Show, plan and run graphs."""


for command in (show, rerun, mark, hold, go_on, cancel):
    dag.add_command(command)
dag.add_command(run, "run")


@dag.command("ls")
@click.option("-o", "--output", type=click.Choice(["table", "json", "name"]), default="table", show_default=True)
def ls(output: str) -> None:
    """List the graphs that code defines."""
    graphs = _graphs()
    if output == "name":
        for graph in graphs:
            click.echo(graph.name)
        return
    rows = [_overview(graph) for graph in graphs]
    if output == "json":
        click.echo(json.dumps(rows, indent=2))
    else:
        columns(("DAG", "NODES", "EDGES", "VERSION", "ABOUT"), (tuple(map(str, row.values())) for row in rows))


@dag.command()
@_FILE_OR_NAME
@click.option(
    "--workers", default=2, show_default=True, type=click.IntRange(1, 100_000), help="For how many the time is estimated."
)
@click.option("--all", "everything", is_flag=True, help="List every node and edge, however many.")
@click.option("--engine", type=click.Choice(ENGINES), help="As if the graph named this engine.")
@click.option("-o", "--output", type=click.Choice(["text", "json", "dot", "mermaid"]), default="text", show_default=True)
@_JOB
@_SCALE
def plan(what: str, workers: int, everything: bool, engine: str | None, output: str, job: str, scale: float) -> None:
    """Show what a graph becomes: levels, critical path, what travels as chain or chord, which edges the ledger releases, and why.

    FILE is a graph as JSON: ours, WfCommons' WfFormat, or {name, tasks}. Needs no server; what pays depends on BROKER_URL and
    REDIS_URL as this command has them. Exit code 2 when it can't run.
    """
    from dataclasses import replace

    from backbeat.core import plan_text
    from backbeat.core.dag import Engine
    from backbeat.core.plan import plan as plan_of

    conf, graph = settings(), _named(what, job, scale)
    graph = replace(graph, engine=Engine(engine)) if engine else graph
    planned = plan_of(graph, direct=same_server(conf.broker_url, conf.redis_url))
    if output == "json":
        click.echo(json.dumps(_facts(planned, workers), indent=2))
    elif output == "text":
        click.echo(plan_text.text(planned, workers, rows=1 << 40 if everything else plan_text.ROWS), nl=False)
    else:
        click.echo(plan_text.dot(planned) if output == "dot" else plan_text.mermaid(planned), nl=False)


@dag.command()
@_FILE_OR_NAME
def export(what: str) -> None:
    """Print a graph as JSON that `import` reads."""
    from backbeat.core.dag_data import to_data

    click.echo(json.dumps(to_data(_named(what, TIMED_JOB, 1.0)), indent=2, ensure_ascii=False))


@dag.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--name", help="What to call it; by default as the file does.")
@click.option("--dry-run", is_flag=True, help="Only check it.")
@_JOB
@_SCALE
def import_(file: Path, name: str | None, dry_run: bool, job: str, scale: float) -> None:
    """Take a graph over from a JSON or YAML file, so that it can be run. Exit code 2 with everything that is wrong with it."""
    from dataclasses import replace

    from backbeat.core.dag_check import check, validated

    graph = _from_file(file, job, scale)
    graph = replace(graph, name=name) if name else graph
    use_app().loader.import_default_modules()
    from backbeat.runtime.registry import jobs

    validated(graph, jobs)
    for problem in check(graph):
        click.echo(f"note: {problem.sentence}", err=True)
    if not dry_run:
        with reaching_redis():
            from backbeat.runtime.dag_publish import publish

            publish(graph)
    click.echo(f"{graph.name}: {len(graph.nodes)} nodes, version {graph.version}{' (only checked)' if dry_run else ''}")


def _named(what: str, job: str, scale: float) -> Dag:
    path = Path(what)
    if path.is_file():
        return _from_file(path, job, scale)
    graphs = {graph.name: graph for graph in _graphs()}
    if what not in graphs:
        raise UnknownJob(f"no DAG is named {what!r}, and no such file is here.{nearest(what, graphs)}")
    return graphs[what]


def _from_file(path: Path, job: str, scale: float) -> Dag:
    text = path.read_text(encoding="utf-8")
    try:
        data = _yaml(text) if path.suffix in (".yaml", ".yml") else json.loads(text)
    except ValueError as error:
        raise GraphError(path.name, f"expected JSON; {error}.") from None
    if not isinstance(data, dict):
        raise GraphError(path.name, f"expected an object; got {type(data).__name__}.")
    return read(data, job=job, scale=scale)


def _yaml(text: str) -> Any:
    try:
        import yaml
    except ImportError:
        raise GraphError("file", "reading YAML needs PyYAML. Install it, or write the graph as JSON.") from None
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise GraphError("file", f"expected YAML; {error}.") from None


def _graphs() -> list[Dag]:
    use_app().loader.import_default_modules()
    from backbeat.runtime.registry import jobs

    return sorted((job.dag for job in jobs.values() if job.dag is not None), key=lambda graph: graph.name)


def _overview(graph: Dag) -> dict[str, Any]:
    sizes = {"nodes": len(graph.nodes), "edges": len(graph.shape.parents)}
    return {"dag": graph.name, **sizes, "version": graph.version, "about": graph.description}


def _facts(planned: Any, workers: int) -> dict[str, Any]:
    from backbeat.core.plan_cost import cost
    from backbeat.core.plan_text import ledger_edges

    estimate = cost(planned, workers)
    return {
        "dag": planned.dag.name,
        "version": planned.dag.version,
        "nodes": len(planned.dag.nodes),
        "edges": len(planned.shape.parents),
        "levels": [list(level) for level in planned.levels],
        "critical_path": list(planned.critical_path),
        "critical_seconds": planned.critical_seconds,
        "serial_seconds": estimate.serial,
        "makespan_seconds": {"workers": workers, "seconds": estimate.makespan},
        "engine": str(planned.dag.engine),
        "segments": [{"kind": str(one.kind), "nodes": list(one.nodes), "why": one.reason} for one in planned.segments],
        "ledger_edges": [{"from": a, "to": b, "why": str(why)} for a, b, why in ledger_edges(planned)],
    }

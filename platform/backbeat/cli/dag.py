"""`backbeat dag`: look at graphs, plan them without a server, run them, and see to their runs."""

from __future__ import annotations

import getpass
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from backbeat.cli.common import use_app, use_django
from backbeat.cli.dag_show import show
from backbeat.cli.dag_sources import as_text, from_file, graphs, named
from backbeat.cli.dag_verbs import cancel, go_on, hold, mark, rerun
from backbeat.cli.job_run import run
from backbeat.cli.listing import columns
from backbeat.conf import same_server, settings
from backbeat.core.dag_files import TIMED_JOB

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
    """List graphs: those of the code, and those that were imported or made in the admin."""
    found = sorted(graphs().items())
    if output == "name":
        for name, _ in found:
            click.echo(name)
        return
    rows = [_overview(*one) for _, one in found]
    if output == "json":
        click.echo(json.dumps(rows, indent=2))
    else:
        columns(("DAG", "NODES", "EDGES", "VERSION", "FROM", "ABOUT"), (tuple(map(str, row.values())) for row in rows))


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

    FILE is a graph as JSON or YAML: ours, WfCommons' WfFormat, or {name, tasks}; it needs no server. A graph by NAME is
    planned with the seconds that its last runs took. What pays depends on BROKER_URL and REDIS_URL as this command has them.
    Exit code 2 when it can't run.
    """
    from backbeat.core import plan_text
    from backbeat.core.dag import Engine
    from backbeat.core.plan import plan as plan_of
    from backbeat.runtime.dag_alone import going_on, known_policies

    graph, took = named(what, job, scale)
    graph, conf = replace(graph, engine=Engine(engine)) if engine else graph, settings()
    direct, alone = same_server(conf.broker_url, conf.redis_url), going_on(graph, known_policies)
    planned = plan_of(graph, took, direct=direct, goes_on=alone)
    if output == "json":
        click.echo(json.dumps(_facts(planned, workers), indent=2))
    elif output == "text":
        click.echo(plan_text.text(planned, workers, rows=1 << 40 if everything else plan_text.ROWS), nl=False)
    else:
        click.echo(plan_text.dot(planned) if output == "dot" else plan_text.mermaid(planned), nl=False)


@dag.command()
@_FILE_OR_NAME
@click.option("-o", "--output", type=click.Choice(["json", "yaml"]), default="json", show_default=True)
def export(what: str, output: str) -> None:
    """Print a graph as a file that `import` reads."""
    from backbeat.core.dag_data import to_data

    click.echo(as_text(to_data(named(what, TIMED_JOB, 1.0, as_written=True)[0]), output))


@dag.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--name", help="What to call it; by default as the file does.")
@click.option("--dry-run", is_flag=True, help="Only check it.")
@click.option("--commands", is_flag=True, help="Nodes of a WfFormat graph run the programs that it names (job commands.run).")
@_JOB
@_SCALE
def import_(file: Path, name: str | None, dry_run: bool, job: str, scale: float, commands: bool) -> None:
    """Take a graph over from a JSON or YAML file into the database, where it is started and scheduled like any other.

    The same file twice changes nothing. Exit code 2 with everything that is wrong with it.
    """
    graph = from_file(file, job, scale, commands)
    graph = replace(graph, name=name) if name else graph
    use_app().loader.import_default_modules()
    from backbeat.admin import dags

    for problem in dags.problems(graph):
        if problem.warning:
            click.echo(f"note: {problem.sentence}", err=True)
    dags.save(graph, actor=getpass.getuser(), source="import", dry_run=dry_run)
    running = dags.whole(graph)
    click.echo(f"{graph.name}: {len(running.nodes)} nodes, version {running.version}{' (only checked)' if dry_run else ''}")


@dag.command()
@click.argument("name")
def remove(name: str) -> None:
    """Forget a graph that was imported or made in the admin, with its schedules. History stays; what is under way goes on."""
    use_django()
    from backbeat.admin import dags

    dags.delete(name)
    click.echo(f"{name} is removed")


def _overview(graph: Dag, source: str) -> dict[str, Any]:
    sizes = {"nodes": len(graph.nodes), "edges": len(graph.shape.parents)}
    return {"dag": graph.name, **sizes, "version": graph.version, "source": source, "about": graph.description}


def _facts(planned: Any, workers: int) -> dict[str, Any]:
    from backbeat.core.plan_cost import cost
    from backbeat.core.plan_series import decompose
    from backbeat.core.plan_text import ledger_edges

    estimate, tree = cost(planned, workers), decompose(planned.shape)
    return {
        "dag": planned.dag.name,
        "version": planned.dag.version,
        "nodes": len(planned.dag.nodes),
        "edges": len(planned.shape.parents),
        "levels": [list(level) for level in planned.levels],
        "series_parallel": str(tree) if tree else None,
        "critical_path": list(planned.critical_path),
        "critical_seconds": planned.critical_seconds,
        "serial_seconds": estimate.serial,
        "makespan_seconds": {"workers": workers, "seconds": estimate.makespan},
        "engine": str(planned.dag.engine),
        "segments": [{"kind": str(one.kind), "nodes": list(one.nodes), "why": one.reason} for one in planned.segments],
        "ledger_edges": [{"from": a, "to": b, "why": str(why)} for a, b, why in ledger_edges(planned)],
    }

"""`backbeat dev` and `backbeat demo`: the whole deployment on this machine, by one command."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import click
from honcho.environ import parse_procfile

from backbeat.cli.stack import place as places
from backbeat.cli.stack.guide import GRAPH, FirstRun, Guide
from backbeat.cli.stack.output import Output
from backbeat.cli.stack.place import Lock, Place
from backbeat.cli.stack.supervisor import Supervisor
from backbeat.cli.stack.watchdog import Watchdog, end_strays

_GRAPH_SECONDS = 300.0


@click.command()
@click.option("-q", "--quiet", is_flag=True, help="Keep the processes' lines in .backbeat/logs instead of showing them.")
@click.option("--reset-password", is_flag=True, help="Give the user admin a new password and print it.")
@click.option("--no-graph", is_flag=True, help="Do not run the example graph.")
def dev(quiet: bool, reset_password: bool, no_graph: bool) -> None:
    """Start everything on this machine: server, web, schedulers, worker, keeper, Flower. Ctrl-C stops it all.

    A second start goes on where the first stopped. REDIS_URL, BROKER_URL and DATABASE_URL take real services instead of
    the embedded ones.
    """
    graph = [] if no_graph else ["--graph", GRAPH, "--wait", str(_GRAPH_SECONDS)]
    options = ["--reset-password"] * reset_password + graph
    sys.exit(_run(options, quiet=quiet, once=False, figures=False))


@click.command()
@click.option("-v", "--verbose", is_flag=True, help="Show the processes' own lines too.")
@click.option("--figures", is_flag=True, help="Measure what the idle stack costs before it stops.")
def demo(verbose: bool, figures: bool) -> None:
    """Start everything, run the example graph to its end, print the result, stop. Exit code 0 means green."""
    options = ["--graph", GRAPH, "--wait", str(_GRAPH_SECONDS)]
    sys.exit(_run(options, quiet=not verbose, once=True, figures=figures))


def _run(options: list[str], *, quiet: bool, once: bool, figures: bool) -> int:
    # make tells when it began, so that the installation counts as well.
    began = float(os.environ.get("BACKBEAT_BEGAN") or time.time())
    root = places.find_root(Path.cwd())
    lock = Lock(places.home_of(root, os.environ))
    place = places.prepare(root, os.environ)
    watchdog = Watchdog(place.token)
    for number in (signal.SIGTERM, signal.SIGHUP):
        # Until the supervisor takes the signals over, they must still lead through our `finally`.
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    try:
        return _supervised(place, watchdog, options, began, (quiet, once, figures))
    finally:
        end_strays(place.token)
        if place.server is not None:
            place.server.stop()
        watchdog.leave()
        del lock


def _supervised(place: Place, watchdog: Watchdog, options: list[str], began: float, manner: tuple[bool, bool, bool]) -> int:
    quiet, once, figures = manner
    if place.server is not None:
        watchdog.watch(place.server.pid)
    output = Output(place.home / "logs", quiet)
    supervisor = Supervisor(output, watchdog)
    for name, command in parse_procfile((place.root / "Procfile").read_text()).processes.items():
        supervisor.add(name, command, place.env, str(place.root))
    for note in place.notes:
        click.echo(f"backbeat: {note}", err=True)
    click.echo("backbeat: preparing the database ...", err=True)
    first_run = FirstRun.start(place, watchdog, options)
    prepared = first_run.expect("prepared")
    for failure in prepared["failures"]:
        click.echo(f"backbeat: {failure}", err=True)
    guide = Guide(place, supervisor, first_run, prepared, began)
    guide.once, guide.figures = once, figures
    guide.start()
    supervisor.loop()
    first_run.stop()
    return int(supervisor.returncode or 0)

"""`backbeat dev` and `backbeat demo`: the whole deployment on this machine, by one command."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import click
from honcho.environ import parse_procfile

from backbeat.cli.stack import place as places
from backbeat.cli.stack.guide import FirstRun, Guide, Manner
from backbeat.cli.stack.output import Output
from backbeat.cli.stack.place import Lock, Place
from backbeat.cli.stack.reload import Reloader
from backbeat.cli.stack.server_guard import ServerGuard
from backbeat.cli.stack.supervisor import Supervisor
from backbeat.cli.stack.watchdog import Watchdog, end_strays
from backbeat.store import health
from backbeat.store.connect import connect

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
    options = ["--reset-password"] * reset_password
    sys.exit(_run(options, Manner(quiet=quiet, once=False, figures=False, graph=not no_graph, began=_began())))


@click.command()
@click.option("-v", "--verbose", is_flag=True, help="Show the processes' own lines too.")
@click.option("--figures", is_flag=True, help="Measure what the idle stack costs before it stops.")
def demo(verbose: bool, figures: bool) -> None:
    """Start everything, run the example graph to its end, print the result, stop. Exit code 0 means green."""
    sys.exit(_run([], Manner(quiet=not verbose, once=True, figures=figures, graph=True, began=_began())))


def _began() -> float:
    # make tells when it began, so that the installation counts as well.
    return float(os.environ.get("BACKBEAT_BEGAN") or time.time())


def _run(options: list[str], manner: Manner) -> int:
    root = places.find_root(Path.cwd())
    lock = Lock(places.home_of(root, os.environ))
    place = places.prepare(root, os.environ)
    if place.server is None:
        with connect(place.env["REDIS_URL"]) as client:
            health.require(client)
    watchdog = Watchdog(place.token, held=[lock.fileno()])
    for number in (signal.SIGTERM, signal.SIGHUP):
        # Until the supervisor takes the signals over, they must still lead through our `finally`.
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    guard = ServerGuard(place.server, place.home, watchdog) if place.server is not None else None
    try:
        if guard is not None:
            guard.start()
        return _supervised(place, watchdog, options, manner)
    finally:
        end_strays(place.token)
        if guard is not None:
            guard.stop()
        watchdog.leave()
        del lock


def _supervised(place: Place, watchdog: Watchdog, options: list[str], manner: Manner) -> int:
    supervisor = Supervisor(Output(place.home / "logs", manner.quiet), watchdog)
    for name, command in parse_procfile((place.root / "Procfile").read_text()).processes.items():
        supervisor.add(name, command, place.env, str(place.root))
    for note in [*place.notes, "preparing the database ..."]:
        click.echo(f"backbeat: {note}", err=True)
    graph = ["--graph", "--wait", str(_GRAPH_SECONDS)] if manner.graph else []
    first_run = FirstRun.start(place, watchdog, [*options, *graph])
    prepared = first_run.expect("prepared")
    for failure in prepared["failures"]:
        click.echo(f"backbeat: {failure}", err=True)
    Guide(place, supervisor, first_run, _login(prepared), manner).start()
    if not manner.once:
        Reloader(place, supervisor).start()
    supervisor.loop()
    first_run.stop()
    code = int(supervisor.returncode or 0)
    # Ctrl-C is how `dev` is meant to end.
    return 0 if code == 128 + signal.SIGINT and not manner.once else code


def _login(prepared: dict[str, Any]) -> str:
    password = prepared["password"]
    known = "your password (a new one: backbeat dev --reset-password)"
    return f"user {prepared['user']}, {f'one-time password {password}' if password else known}"

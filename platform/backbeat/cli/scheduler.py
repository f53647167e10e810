"""`backbeat scheduler`: who leads what, what is overdue, and whether the firing lives. Needs Redis, and nothing else."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import click

from backbeat.core.duration import seconds

_MAX_OVERDUE = click.option(
    "--max-overdue", default="10s", show_default=True, help="An entry that has been due for longer is wrong."
)


@click.group()
def scheduler() -> None:
    """Show who leads which shards, what is overdue and how late fires are; divide leadership anew."""


@scheduler.command("status")
@_MAX_OVERDUE
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
def status_(max_overdue: str, output: str) -> None:
    """Show processes, shards and figures, and the queues in which runs are held back because no live worker consumes them.

    Exit code 0: all well; 1: something is overdue, stuck or without a leader; 5: Redis does not answer.
    """
    from backbeat.runtime.queue_check import without_consumer
    from backbeat.runtime.status import as_data, status
    from backbeat.store.store import open_store

    state = status(open_store(), _ms(max_overdue))
    unserved = without_consumer(open_store(), state.processes, state.now)
    if output == "json":
        click.echo(json.dumps({**as_data(state), "unserved_queues": [asdict(one) for one in unserved]}, indent=2))
    else:
        from backbeat.cli.scheduler_table import show

        show(state, unserved)
    sys.exit(0 if state.healthy else 1)


@scheduler.command()
@_MAX_OVERDUE
@click.option("--host", default="", help="Only the schedulers of this machine, for a probe beside each of them.")
def live(max_overdue: str, host: str) -> None:
    """Answer a liveness probe: exit code 1 when the firing is wedged, 5 when Redis does not answer, else 0.

    Wedged is a scheduler that lives and does not move on, or an overdue entry that stays where it is. A process that is
    gone is not: another takes over. With the name of this machine as --host, a scheduler that says nothing although its
    process is there is wedged too. Answers at once when nothing is overdue or silent, else within five seconds.
    """
    from backbeat.runtime.liveness import wedged
    from backbeat.store.store import open_store

    found = wedged(open_store(), _ms(max_overdue), host)
    for problem in found:
        click.echo(f"{problem.code}: {problem.sentence} {problem.cure}", err=True)
    sys.exit(1 if found else 0)


@scheduler.command("shards")
@click.argument("number", type=int, required=False)
def shards_(number: int | None) -> None:
    """Show into how many shards leadership is divided, or divide it into NUMBER, on a live system.

    Every scheduler follows with its next renewal, within a second; no data moves. Exit code 2 for a number that can't be.
    """
    from backbeat.store.store import open_store

    layout = open_store().layout
    if number is not None:
        layout.set_shards(number)
    click.echo(layout.shards() or "no scheduler has come yet")


@scheduler.command()
def metrics() -> None:
    """Print everything as Prometheus metrics."""
    from backbeat.runtime.metrics import exposition
    from backbeat.runtime.status import status
    from backbeat.store.store import open_store

    text = exposition(status(open_store()))
    click.echo(text, nl=False)


def _ms(length: str) -> int:
    return round((seconds(length, "--max-overdue") or 0.0) * 1000)

"""Commands that change DAG runs: rerun, mark, hold, go on, cancel."""

from __future__ import annotations

import getpass

import click

from backbeat.core.state import RunState
from backbeat.errors import UnknownRun

_RUN = click.argument("run_id", metavar="RUN")
_REASON = click.option("--reason", default="", help="Why, for the next person.")


@click.command()
@_RUN
@click.option(
    "--node", "nodes", multiple=True, help="A node, or an item of a mapped one as load[3]; by default all that did not end well."
)
@click.option("--only", is_flag=True, help="Leave alone what is behind the nodes.")
@_REASON
def rerun(run_id: str, nodes: tuple[str, ...], only: bool, reason: str) -> None:
    """Run nodes of a DAG run again and keep all other results. Exit code 3 when the run is not known any more."""
    from backbeat.runtime import deeds
    from backbeat.store.store import open_store

    named, items = deeds.parted(nodes)
    by = deeds.By(getpass.getuser(), reason)
    count = deeds.rerun(open_store(), run_id, by, named or None, items=items or None, descendants=not only)
    click.echo(f"{run_id}: {count} nodes run again" if count else f"{run_id}: nothing to run again")


@click.command()
@_RUN
@click.argument("node")
@click.argument("state", type=click.Choice(["succeeded", "failed"]))
@_REASON
def mark(run_id: str, node: str, state: str, reason: str) -> None:
    """Declare a node succeeded or failed; what was given up because of it is decided anew."""
    from backbeat.runtime import deeds
    from backbeat.store.store import open_store

    count = deeds.mark(open_store(), run_id, node, RunState(state), deeds.By(getpass.getuser(), reason))
    click.echo(f"{run_id}: {node} is {state}; {count} nodes are decided anew")


@click.command("hold")
@_RUN
@_REASON
def hold(run_id: str, reason: str) -> None:
    """Start no further node; those at work go on."""
    _hold(run_id, reason, on=True)


@click.command("continue")
@_RUN
@_REASON
def go_on(run_id: str, reason: str) -> None:
    """Let a held DAG run go on."""
    _hold(run_id, reason, on=False)


@click.command()
@_RUN
@_REASON
def cancel(run_id: str, reason: str) -> None:
    """Stop a DAG run: nothing more starts, nodes at work are stopped."""
    from backbeat.runtime import deeds
    from backbeat.store.store import open_store

    outcome = deeds.cancel(open_store(), run_id, deeds.By(getpass.getuser(), reason))
    if outcome == "gone":
        raise UnknownRun(f"no unfinished run {run_id!r}.")
    click.echo(f"{run_id}: {'stopping' if outcome == 'asked' else outcome}")


def _hold(run_id: str, reason: str, *, on: bool) -> None:
    from backbeat.runtime import deeds
    from backbeat.store.store import open_store

    deeds.hold(open_store(), run_id, deeds.By(getpass.getuser(), reason), on=on)
    click.echo(f"{run_id}: {'held' if on else 'goes on'}")

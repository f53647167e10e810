"""Commands that change DAG runs: rerun, mark, hold, go on, cancel."""

from __future__ import annotations

import re

import click

from backbeat.cli.common import reaching_redis
from backbeat.core.state import RunState
from backbeat.errors import DefinitionError, UnknownRun

_ITEM = re.compile(r"^(.+)\[(\d+)\]$")
_RUN = click.argument("run_id", metavar="RUN")


@click.command()
@_RUN
@click.option(
    "--node", "nodes", multiple=True, help="A node, or an item of a mapped one as load[3]; by default all that did not end well."
)
@click.option("--only", is_flag=True, help="Leave alone what is behind the nodes.")
def rerun(run_id: str, nodes: tuple[str, ...], only: bool) -> None:
    """Run nodes of a DAG run again and keep all other results. Exit code 3 when the run is not known any more."""
    named, items = _parted(nodes)
    with reaching_redis():
        from backbeat.runtime.dag_mend import rerun as rerun_nodes
        from backbeat.store.store import open_store

        count = rerun_nodes(open_store(), run_id, named or None, items=items or None, descendants=not only)
    click.echo(f"{run_id}: {count} nodes run again" if count else f"{run_id}: nothing to run again")


@click.command()
@_RUN
@click.argument("node")
@click.argument("state", type=click.Choice(["succeeded", "failed"]))
def mark(run_id: str, node: str, state: str) -> None:
    """Declare a node succeeded or failed; what was given up because of it is decided anew."""
    with reaching_redis():
        from backbeat.runtime.dag_mend import mark as mark_node
        from backbeat.store.store import open_store

        count = mark_node(open_store(), run_id, node, RunState(state))
    click.echo(f"{run_id}: {node} is {state}; {count} nodes are decided anew")


@click.command("hold")
@_RUN
def hold(run_id: str) -> None:
    """Start no further node; those at work go on."""
    _hold(run_id, on=True)


@click.command("continue")
@_RUN
def go_on(run_id: str) -> None:
    """Let a held DAG run go on."""
    _hold(run_id, on=False)


@click.command()
@_RUN
@click.option("--reason", default="cancelled by hand", show_default=True)
def cancel(run_id: str, reason: str) -> None:
    """Stop a DAG run: nothing more starts, nodes at work are stopped."""
    with reaching_redis():
        from backbeat.store.store import open_store

        outcome = open_store().ledger.cancel(run_id, reason)
    if outcome == "gone":
        raise UnknownRun(f"no unfinished run {run_id!r}.")
    click.echo(f"{run_id}: {'stopping' if outcome == 'asked' else outcome}")


def _hold(run_id: str, *, on: bool) -> None:
    with reaching_redis():
        from backbeat.store.store import open_store

        store = open_store()
        if not store.dags.hold(run_id, on=on):
            seen = store.dags.see(run_id)
            if seen is None or not seen.active:
                raise UnknownRun(f"no DAG run {run_id!r} is under way.")
    click.echo(f"{run_id}: {'held' if on else 'goes on'}")


def _parted(nodes: tuple[str, ...]) -> tuple[list[str], dict[str, list[int]]]:
    named: list[str] = []
    items: dict[str, list[int]] = {}
    for node in nodes:
        found = _ITEM.match(node)
        if found:
            items.setdefault(found[1], []).append(int(found[2]))
        else:
            named.append(node)
    if twice := sorted(set(named) & set(items)):
        raise DefinitionError("--node", f"{twice[0]!r} is named both as a whole and by item; choose one.")
    return named, items

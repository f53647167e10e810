"""`backbeat history`: what history holds by the month, and how far it is behind; taking old months away."""

from __future__ import annotations

import json
from datetime import timedelta

import click

from backbeat.cli.common import use_django
from backbeat.conf import settings
from backbeat.core.duration import seconds, words
from backbeat.errors import DefinitionError

_OUTPUT = click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)


@click.group()
def history() -> None:
    """Show what history holds and how far it is behind; take old months away."""


@history.command()
@_OUTPUT
def show(output: str) -> None:
    """Show how many events wait for history, and the tables of its months with rows (estimated) and bytes."""
    use_django()
    from backbeat.admin.months import sizes
    from backbeat.runtime.status import status
    from backbeat.store.store import open_store

    state, kept = status(open_store()), settings().history_retention
    tables = sizes()
    if output == "json":
        lag = {"event_backlog": state.backlog, "event_backlog_ms": state.backlog_ms, "retention_s": kept}
        click.echo(json.dumps({**lag, "tables": tables}, indent=2))
        return
    click.echo(f"not recorded yet: {state.backlog} events, the oldest for {state.backlog_ms / 1000:.1f}s")
    click.echo(f"kept for: {words(kept) if kept else 'ever'}")
    for one in tables:
        click.echo(f"{one['table']:<32} about {one['rows']:>12,} rows {one['bytes'] / 2**20:>10,.1f} MiB")


@history.command()
@click.option("--older-than", help="An age such as 90d; by default BACKBEAT_HISTORY_RETENTION.")
@click.option("--keep", is_flag=True, help="Leave a detached month as a table <name>_detached, which nothing reads any more.")
@_OUTPUT
def prune(older_than: str | None, keep: bool, output: str) -> None:
    """Take away what is older: whole months on PostgreSQL, rows on SQLite.

    A month goes when it was over and nothing in it is newer. A keeper does the same every hour when a retention is set.
    Exit code 2 without an age.
    """
    age = seconds(older_than, "--older-than") if older_than else settings().history_retention
    if not age or age < 86_400:
        got = older_than or "none, and BACKBEAT_HISTORY_RETENTION is not set"
        raise DefinitionError("--older-than", f"expected an age of 1d or more, such as 90d; got {got}.")
    use_django()
    from backbeat.admin import clock
    from backbeat.admin.months import Pruned
    from backbeat.admin.months import prune as prune_once

    before = clock.now() - timedelta(seconds=age)
    months: list[str] = []
    rows = 0
    while (gone := prune_once(before, keep=keep)) != Pruned():
        months += gone.months
        rows += gone.rows
    if output == "json":
        click.echo(json.dumps({"before": before.isoformat(), "months": months, "rows": rows}))
        return
    for name in months:
        click.echo(f"{name} {'detached' if keep else 'dropped'}")
    click.echo(f"{rows} rows deleted elsewhere; nothing older than {before:%Y-%m-%d %H:%M} UTC is left that could go")

"""`backbeat cron`: what an expression means and when it is due. Needs no deployment, no server and no settings."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import click

from backbeat.cli.cron_question import MOST, POLICIES, Question, answered, question
from backbeat.core.dialect import ROWS
from backbeat.core.occurrence import describe, notes
from backbeat.core.when import DAY_POLICIES, GAP_POLICIES, OVERLAP_POLICIES, iso, to_ms


def expression_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say what an expression is to mean, in the order of the help."""
    options = (
        click.option("--dialect", default="vixie", show_default=True, help="See `backbeat cron dialects`."),
        click.option("--tz", default="UTC", show_default=True, help="IANA zone, as Europe/Berlin."),
        click.option(
            "--after", help="Moment to start from, as 2027-03-28T00:00; without an offset it is in the zone. Default: now."
        ),
        click.option("--gap", type=click.Choice(GAP_POLICIES), help="What a fixed time in a skipped hour does."),
        click.option("--fold", type=click.Choice(OVERLAP_POLICIES), help="Which showing of a repeated hour counts."),
        click.option("--days", type=click.Choice(DAY_POLICIES), help="How day of month and weekday join."),
        click.option("--hash-key", help="What H is hashed from; in jobs the schedule's id."),
        click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.group()
def cron() -> None:
    """Explain a cron expression and show its next times."""


@cron.command("next")
@click.argument("expr", required=False)
@click.option("-n", default=5, show_default=True, type=click.IntRange(1, MOST), help="How many times to show.")
@click.option("--stdin", "many", is_flag=True, help="Answer questions from standard input, one JSON object a line.")
@expression_options
def next_(expr: str | None, n: int, *, many: bool, output: str, **options: Any) -> None:
    """Show when EXPR is due next.

    With --stdin each line is an object with "expr" and, as you like, "dialect", "tz", "after", "n", "hash_key" and
    "policies" (gap, fold, days). One line comes back for each, in order: an object with the times under "next", or
    one with "error"; an "id" is handed back.
    """
    if many == (expr is not None):
        raise click.UsageError("expected either EXPR or --stdin.")
    if expr is None:
        for line in sys.stdin.buffer:
            click.echo(json.dumps(answered(line)))
        return
    asked = question(_data(options) | {"expr": expr, "n": n})
    if output == "json":
        click.echo(json.dumps(asked.answer() | asked.explanation()))
    else:
        _show(asked)


@cron.command()
@click.argument("expr")
@expression_options
def explain(expr: str, output: str, **options: Any) -> None:
    """Say what EXPR means, and what to mind. Exit code 2 when it means nothing."""
    asked = question(_data(options) | {"expr": expr})
    if output == "json":
        click.echo(json.dumps(asked.explanation()))
        return
    click.echo(describe(asked.cron))
    _show_notes(asked)


@cron.command()
def dialects() -> None:
    """List the dialects."""
    for row in ROWS:
        click.echo(f"{row.name:<16}{row.about}")


def _data(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options as the object that --stdin takes."""
    return dict(options) | {"policies": {name: options[name] for name in POLICIES}}


def _show(asked: Question) -> None:
    click.echo(f"{describe(asked.cron)}\n")
    for text in asked.times():
        moment = datetime.fromisoformat(text)
        click.echo(f"  {moment:%a %Y-%m-%d %H:%M:%S} {text[19:]:<6}   {iso(to_ms(moment))}")
    _show_notes(asked)


def _show_notes(asked: Question) -> None:
    for note in notes(asked.cron, asked.after):
        click.echo(f"\nNote: {note}")

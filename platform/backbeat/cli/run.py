"""`backbeat run`: looking at runs, asking why, and cancelling, repeating or releasing them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import click

from backbeat.cli.common import use_app, use_django
from backbeat.cli.listing import columns
from backbeat.cli.run_verbs import again, cancel, release, retry

_OUTPUT = click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
_HEAD = ("RUN", "STATE", "QUEUED", "ATTEMPT", "WORKER", "WHY")


@click.group()
def run() -> None:
    """List, show, explain, cancel and repeat runs."""


for command in (cancel, retry, release, again):
    run.add_command(command)


@run.command("ls")
@click.option("--where", "text", default="", help="Such as 'state:failed job:reports.daily', or the beginning of an id.")
@click.option("-n", "limit", default=20, show_default=True, type=click.IntRange(1, 10_000), help="At most so many.")
@click.option("-o", "--output", type=click.Choice(["table", "json", "name"]), default="table", show_default=True)
def ls(text: str, limit: int, output: str) -> None:
    """List the newest runs. Words of --where: state, job, pool, queue, worker, error, dag."""
    use_django()
    from backbeat.cli.run_facts import rows
    from backbeat.cli.run_where import where

    found = rows(where(text), limit)
    if output == "json":
        click.echo(json.dumps(found, indent=2))
    elif output == "name":
        for row in found:
            click.echo(row["run"])
    else:
        columns(_HEAD, map(_line, found))


@run.command()
@click.argument("run_id", metavar="ID")
@_OUTPUT
def show(run_id: str, output: str) -> None:
    """Show a run with its attempts. Exit code 3 when nobody knows it."""
    use_django()
    from backbeat.cli.run_facts import details

    facts = details(run_id)
    if output == "json":
        click.echo(json.dumps(facts, indent=2))
        return
    tries = facts.pop("attempts")
    columns((), ((name, _shown(value)) for name, value in facts.items() if value not in (None, "", [], {})))
    if tries:
        click.echo("\nattempts")
        columns((), ((f"  {one['attempt']}", one["state"], one["worker"], _told(one["error"])) for one in tries))


@run.command()
@click.argument("run_id", metavar="ID")
@click.option("--attempt", type=click.IntRange(1), help="Which attempt; by default all.")
@_OUTPUT
def logs(run_id: str, attempt: int | None, output: str) -> None:
    """Print what a run's attempts logged, with their tracebacks. They are kept when an attempt ends."""
    use_django()
    from backbeat.cli.run_facts import details

    tries = [one for one in details(run_id)["attempts"] if attempt in (None, one["attempt"])]
    if output == "json":
        click.echo(json.dumps(tries, indent=2))
        return
    for one in tries:
        click.echo(f"attempt {one['attempt']}: {one['state']}", err=True)
        for text in filter(None, (one["log"], one["traceback"])):
            click.echo(text.rstrip("\n"))


@run.command()
@click.argument("run_id", metavar="ID")
@click.option("-A", "--app", "name", help="The Celery app, as for celery; by default the Django project's.")
@_OUTPUT
def why(run_id: str, name: str | None, output: str) -> None:
    """Say why a run does not run, or why nothing ran at a moment: ID, or SCHEDULE@2026-11-23T02:00:00Z.

    Every gate on its way is shown; the first that is shut is the answer. Exit code 3 when nobody knows it.
    """
    explain(lambda answers: answers.why(run_id), name, output)


def explain(ask: Callable[[Any], Any], app: str | None, output: str) -> None:
    """Ask `backbeat.admin.why` something and print the answer."""
    use_django()
    from backbeat.admin import why as answers
    from backbeat.cli.why_text import show as show_answer
    from backbeat.store.store import open_store

    if not open_store().slots.direct:
        # Only a broker of its own is asked by way of the app.
        use_app(app)
    show_answer(ask(answers), output)


def _line(row: dict[str, Any]) -> tuple[str, ...]:
    return row["run"], row["state"], row["queued"] or "", str(row["attempt"]), row["worker"], _told(row["error"]) or row["reason"]


def _told(error: dict[str, str] | None) -> str:
    lines = error["message"].splitlines() if error else []
    return f"{error['type']}: {lines[0] if lines else ''}" if error else ""


def _shown(value: object) -> str:
    return _told(value) if isinstance(value, dict) and "type" in value else value if isinstance(value, str) else json.dumps(value)

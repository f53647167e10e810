"""The answer to "why?" for people: the sentence, the cure, then every gate."""

from __future__ import annotations

import json

import click

from backbeat.cli.listing import columns
from backbeat.core.why import Why, as_data


def show(answer: Why, output: str) -> None:
    """Print it as a table or as JSON."""
    if output == "json":
        click.echo(json.dumps(as_data(answer), indent=2))
        return
    click.echo(f"{answer.subject}: {answer.sentence}")
    if answer.remedy:
        click.echo(f"cure: {answer.remedy}")
    click.echo("")
    columns((), ((_sign(gate.passed), gate.name, gate.sentence) for gate in answer.gates))
    for note in answer.notes:
        click.echo(note, err=True)


def _sign(passed: bool) -> str:
    return click.style("✓", fg="green") if passed else click.style("✗", fg="red")

"""`backbeat forecast`: how many runs are due in the hours to come. Needs Redis, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import click

from backbeat.cli.listing import columns

_BAR = 40


@click.command()
@click.option("--hours", default=24, show_default=True, type=click.IntRange(1, 168), help="How far to look ahead.")
@click.option("--top", default=10, show_default=True, type=click.IntRange(1, 1000), help="How many of the fullest minutes.")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
def forecast(hours: int, top: int, output: str) -> None:
    """Show how many runs are due: by the hour, by queue, and in the fullest minutes.

    Counts what the schedules ask for. Whether overlap, a pause to come or a misfire leaves something out, nobody knows yet.
    """
    from backbeat.runtime.forecast import as_data
    from backbeat.runtime.forecast import forecast as counted
    from backbeat.store.store import open_store

    data = as_data(counted(open_store(), hours), top)
    if output == "json":
        click.echo(json.dumps(data, indent=2))
    else:
        _show(data, hours)


def _show(data: dict[str, Any], hours: int) -> None:
    click.echo(f"{data['runs']} runs are due in {hours} hours from {data['since']} (UTC)\n")
    if not data["runs"]:
        return
    columns(("QUEUE", "RUNS", "FULLEST MINUTE", "RUNS IN IT"), (_queue(name, one) for name, one in data["queues"].items()))
    click.echo("\nby the hour")
    fullest = max(data["per_hour"])
    columns((), ((f"  +{hour}h", str(count), "#" * _bar(count, fullest)) for hour, count in enumerate(data["per_hour"])))
    click.echo("\nfullest minutes")
    columns((), ((f"  {one['minute']}", str(one["runs"]), _shares(one["queues"])) for one in data["busiest"]))


def _queue(name: str, one: dict[str, Any]) -> tuple[str, ...]:
    return name, str(one["runs"]), one["peak_minute"] or "-", str(one["peak"])


def _bar(count: int, fullest: int) -> int:
    return -(-_BAR * count // fullest) if fullest else 0


def _shares(queues: dict[str, int]) -> str:
    shown = list(queues.items())[:3]
    more = len(queues) - len(shown)
    return ", ".join(f"{queue} {count}" for queue, count in shown) + (f" and {more} more queues" if more else "")

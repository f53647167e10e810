"""`backbeat worker`: a plain Celery worker with the queues of one or more pools in their order."""

from __future__ import annotations

import os
import shlex
import sys

import click

from backbeat.cli.common import app_name
from backbeat.core.priority import queues_of


@click.command(context_settings={"ignore_unknown_options": True})
@click.option(
    "--pool", "pools", multiple=True, default=("default",), show_default=True, help="A pool to work for; may be repeated."
)
@click.option("-A", "--app", "name", help="The Celery app, as for celery; by default the Django project's.")
@click.option("-c", "--concurrency", type=click.IntRange(min=1), help="Runs at a time; by default the number of cores.")
@click.option("-n", "--hostname", help="This worker's name; by default its pools and process number.")
@click.option("-l", "--loglevel", default="INFO", show_default=True)
@click.option("--dry-run", is_flag=True, help="Only print the command.")
@click.argument("celery_options", nargs=-1, type=click.UNPROCESSED)
def worker(
    pools: tuple[str, ...],
    name: str | None,
    concurrency: int | None,
    hostname: str | None,
    loglevel: str,
    dry_run: bool,
    celery_options: tuple[str, ...],
) -> None:
    """Work for pools, most urgent queue first. Prints the `celery worker` command and becomes it.

    Further options go to Celery: backbeat worker --pool reports --pool mail --autoscale=8,2
    """
    argv = ["celery", "-A", app_name(name), "worker", "-Q", ",".join(queues_of(dict.fromkeys(pools))), "-l", loglevel]
    argv += ["-n", hostname or f"{'-'.join(pools)}-{os.getpid()}@%h"]
    # Workers that greet each other at start take a second longer and gain us nothing: the ledger knows what they know.
    argv += ["--without-mingle", "--without-gossip"]
    argv += ["-c", str(concurrency)] if concurrency else []
    argv += celery_options
    # With --dry-run the command is the answer; else it is chatter.
    click.echo(shlex.join(argv), err=not dry_run)
    if not dry_run:
        # In our place, so that the PID that gets a signal is the worker's.
        os.execv(sys.executable, [sys.executable, "-m", *argv])  # noqa: S606 - no shell is meant

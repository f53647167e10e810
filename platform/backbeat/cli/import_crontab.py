"""`backbeat import crontab`: where crontabs are read from, and what their options mean."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from backbeat.cli.crontab_report import sheet_of
from backbeat.cli.crontab_sources import Source, of_files, of_system, of_user, system_zone, this_user
from backbeat.cli.import_report import Report, Sheet, Unread
from backbeat.cli.import_saving import dry_run_option, finish
from backbeat.core.crontab import parse
from backbeat.core.crontab_jobs import TASK, USER_HERE, Names, Taking, plan
from backbeat.core.job import NAME
from backbeat.core.priority import queue_of
from backbeat.core.zone import load
from backbeat.errors import DefinitionError

ROOT = Path("/")


def crontab_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options of `import crontab`, in the order of its help."""
    folder = click.Path(exists=True, file_okay=False, path_type=Path)
    options = (
        click.argument("files", nargs=-1, metavar="[FILE]..."),
        click.option("--user", "own", is_flag=True, help="Read your own crontab, as `crontab -l` shows it."),
        click.option("--system", is_flag=True, help="Read /etc/crontab and /etc/cron.d."),
        click.option("--root", type=folder, default=ROOT, help="With --system: a file system mounted here instead of /."),
        click.option(
            "--style", type=click.Choice(["user", "system"]), help="Whether a user's name precedes each command (system)."
        ),
        click.option("--tz", help="Zone of entries without CRON_TZ. Default: this machine's."),
        click.option("--pool", default="default", show_default=True, help="Pool of workers; {user} stands for the entry's user."),
        click.option("--prefix", default="crontab", show_default=True, help="What the jobs' names start with."),
        click.option(
            "--cwd", help="Folder to start in where HOME is not set. Default: your home with --user, else the worker's."
        ),
        click.option("--worker-user", help="Who the workers run as; other users' entries get a note. Default: you."),
        dry_run_option,
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command()
@crontab_options
def crontab(files: tuple[str, ...], **options: Any) -> None:
    """Make a job of each entry of a crontab: of FILEs, folders, `-` (standard input), --user or --system.

    Every line is shown with what it becomes and its next three runs. All or nothing: when one line can't be taken,
    nothing is imported, unless --keep-going is given. Importing the same crontab again changes nothing.

    Exit code 0 when every line was taken, 2 when one was not, 3 without a crontab, 5 without a database.
    """
    found = _found(files, own=options["own"], system=options["system"], root=options["root"])
    how = _taking(options)
    names = Names()
    sheets = [_sheet(source, how, names, options) for source in found if isinstance(source, Source)]
    unread = [source for source in found if isinstance(source, Unread)]
    finish(Report(sheets, how.tz, round(time.time() * 1000), unread=unread), options, task=TASK)


def _found(files: tuple[str, ...], *, own: bool, system: bool, root: Path) -> list[Source | Unread]:
    if not (files or own or system):
        raise click.UsageError("expected a crontab: a FILE, `-` for standard input, --user or --system.")
    if root != ROOT and not system:
        raise click.UsageError("--root says where --system reads; pass --system too.")
    found: list[Source | Unread] = list(of_files(files))
    if own:
        found.append(of_user())
    return found + (list(of_system(root)) if system else [])


def _taking(options: dict[str, Any]) -> Taking:
    """The options, checked before a single line is read: they would be wrong for every line."""
    tz = options["tz"] or system_zone(options["root"])
    try:
        load(tz)
        queue_of(options["pool"].replace(USER_HERE, "x"), 0)
    except DefinitionError as error:
        raise click.UsageError(f"--{error.field}: {error.sentence}") from error
    if not NAME.match(f"{options['prefix']}.x"):
        raise click.UsageError(f"--prefix: expected letters, digits, '_', '-' and '.'; got {options['prefix']!r}.")
    worker_user = options["worker_user"] or this_user()
    return Taking(tz, options["pool"], options["prefix"], worker_user)


def _sheet(source: Source, how: Taking, names: Names, options: dict[str, Any]) -> Sheet:
    style = options["style"] or source.style
    read = parse(source.text, style)
    there = replace(how, source=source.name, cwd=options["cwd"] or source.cwd)
    results = {result.place: result for result in plan(read, there, names)}
    return sheet_of(source.name, read, results, guessed=not style)

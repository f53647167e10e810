"""`backbeat import`: take over schedules from other schedulers, one subcommand for each."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from backbeat.cli.common import use_django
from backbeat.cli.crontab_report import Report, Sheet, data, refusals, table
from backbeat.cli.crontab_sources import Source, Untouched, of_files, of_system, of_user, system_zone, this_user
from backbeat.core.crontab import parse
from backbeat.core.crontab_jobs import TASK, USER_HERE, Names, Taking, plan
from backbeat.core.job import NAME
from backbeat.core.priority import queue_of
from backbeat.core.zone import load
from backbeat.errors import DefinitionError

ROOT = Path("/")


class NoDatabase(click.ClickException):
    """The database does not answer, or lacks our tables."""

    exit_code = 5

    def __init__(self, said: str) -> None:
        cure = "Start the deployment with `backbeat dev`, or bring the tables up to date with `python manage.py migrate`."
        super().__init__(f"nothing was imported, because the database can't be used: {said}. {cure}")


@click.group("import")
def import_() -> None:
    """Take over schedules from other schedulers."""


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
        click.option("--dry-run", is_flag=True, help="Only show what would happen; needs no database."),
        click.option("--keep-going", is_flag=True, help="Import the other lines even when some can't be taken."),
        click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True),
    )
    for option in reversed(options):
        command = option(command)
    return command


@import_.command()
@crontab_options
def crontab(files: tuple[str, ...], output: str, **options: Any) -> None:
    """Make a job of each entry of a crontab: of FILEs, folders, `-` (standard input), --user or --system.

    Every line is shown with what it becomes and its next three runs. All or nothing: when one line can't be taken,
    nothing is imported, unless --keep-going is given. Importing the same crontab again changes nothing.

    Exit code 0 when every line was taken, 2 when one was not, 3 without a crontab, 5 without a database.
    """
    found = _found(files, own=options["own"], system=options["system"], root=options["root"])
    how = _taking(options)
    names = Names()
    sheets = [_sheet(source, how, names, options) for source in found if isinstance(source, Source)]
    report = Report(sheets, how.tz, round(time.time() * 1000), [source for source in found if isinstance(source, Untouched)])
    if not options["dry_run"]:
        _import(report, keep_going=options["keep_going"])
    _show(report, output, dry_run=options["dry_run"], keep_going=options["keep_going"])
    if report.refused():
        raise click.exceptions.Exit(2)


def _found(files: tuple[str, ...], *, own: bool, system: bool, root: Path) -> list[Source | Untouched]:
    if not (files or own or system):
        raise click.UsageError("expected a crontab: a FILE, `-` for standard input, --user or --system.")
    if root != ROOT and not system:
        raise click.UsageError("--root says where --system reads; pass --system too.")
    found: list[Source | Untouched] = list(of_files(files))
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
    read = parse(source.text, options["style"] or source.style)
    there = replace(how, source=source.name, cwd=options["cwd"] or source.cwd)
    results = {result.line: result for result in plan(read, there, names)}
    return Sheet(source.name, read, results, guessed=not (options["style"] or source.style))


def _import(report: Report, *, keep_going: bool) -> None:
    """Save what can be taken; the report then tells what happened to each job."""
    if report.refused() and not keep_going:
        return
    use_django()
    # After Django is ready: the models can't be imported before.
    from django.db import DatabaseError

    from backbeat.admin.importing import has_job, import_jobs

    try:
        found = import_jobs([taken.spec for sheet in report.sheets for taken in sheet.taken()], keep_going=keep_going)
        report.can_run = has_job(TASK)
    except DatabaseError as error:
        raise NoDatabase(str(error)) from error
    report.outcomes = dict.fromkeys(found.unchanged, "unchanged")
    if keep_going or not found.refused:
        report.outcomes |= dict.fromkeys((spec.name for spec in found.new), "imported")
    for sheet in report.sheets:
        sheet.refuse(found.refused)


def _show(report: Report, output: str, *, dry_run: bool, keep_going: bool) -> None:
    if output == "json":
        click.echo(json.dumps({"dry_run": dry_run, **data(report)}, ensure_ascii=False, indent=2))
        for line in refusals(report):
            click.echo(line, err=True)
    else:
        for line in table(report):
            click.echo(line)
    click.echo(_verdict(report, dry_run=dry_run, keep_going=keep_going), err=output == "json")


def _verdict(report: Report, *, dry_run: bool, keep_going: bool) -> str:
    counts, outcomes = report.counts(), list(report.outcomes.values())
    entries = f"{counts['entries']} entries, {counts['disabled']} disabled, {counts['variables']} variables"
    refused = f"{_lines(counts['refused'])} can't be taken" if counts["refused"] else "all can be taken"
    if dry_run:
        return f"{entries}: {refused}. Dry run: nothing was imported."
    if counts["refused"] and not keep_going:
        return f"{entries}: {refused}, so nothing was imported. Mend that, or pass --keep-going to import the rest."
    done = f"{outcomes.count('imported')} imported, {outcomes.count('unchanged')} unchanged"
    return f"{entries}: {done}" + (f", {refused}." if counts["refused"] else ".")


def _lines(count: int) -> str:
    return "1 line" if count == 1 else f"{count} lines"

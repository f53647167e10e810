"""The end of every import: save what can be taken, all or nothing, and say what happened."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import click

from backbeat.cli.common import use_django
from backbeat.cli.import_report import Report, data, refusals, table


class NoDatabase(click.ClickException):
    """The database does not answer, or lacks our tables."""

    exit_code = 5

    def __init__(self, said: str) -> None:
        cure = "Start the deployment with `backbeat dev`, or bring the tables up to date with `python manage.py migrate`."
        super().__init__(f"nothing was imported, because the database can't be used: {said}. {cure}")


def dry_run_option(command: Callable[..., None]) -> Callable[..., None]:
    """The options that every import has, at the end of its help."""
    for option in (
        click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True),
        click.option("--keep-going", is_flag=True, help="Import the rest even when some can't be taken."),
        click.option("--dry-run", is_flag=True, help="Only show what would happen; needs no database of ours."),
    ):
        command = option(command)
    return command


def finish(
    report: Report,
    options: dict[str, Any],
    *,
    task: str = "",
    before: Callable[[list[str]], Mapping[str, int]] = lambda _names: {},
) -> None:
    """Save (unless it is a dry run), show, and end with exit code 2 when something can't be taken.

    `task` is a job that all imported ones need. `before` is called with the names of the new jobs before they take
    effect, for whatever must happen where they came from; it may say after which moment (epoch ms) each goes on.
    """
    dry_run, keep_going = options["dry_run"], options["keep_going"]
    if not dry_run and (keep_going or not report.refused()):
        _save(report, keep_going=keep_going, task=task, before=before)
    _show(report, options["output"], dry_run=dry_run, keep_going=keep_going)
    if report.refused():
        raise click.exceptions.Exit(2)


def _save(report: Report, *, keep_going: bool, task: str, before: Callable[[list[str]], Mapping[str, int]]) -> None:
    use_django()
    # After Django is ready: the models can't be imported before.
    from django.db import DatabaseError

    from backbeat.admin.importing import has_job, import_jobs

    taken = [taken for sheet in report.sheets for taken in sheet.taken()]
    since = {one.spec.name: one.since for one in taken if one.since is not None}
    try:
        found = import_jobs([one.spec for one in taken], keep_going=keep_going, since=since, before=before)
        if task and not has_job(task):
            report.reminders.append(
                f"no job {task!r} is defined here, so none of these can run: it comes with jobs/commands.py and `backbeat sync`."
            )
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
    held = ", ".join(f"{counts[kind]} {kind}" for kind in ("entries", "disabled", "variables") if kind in counts)
    refused = f"{report.plural(counts['refused'])} can't be taken" if counts["refused"] else "all can be taken"
    if dry_run:
        return f"{held}: {refused}. Dry run: nothing was imported."
    if counts["refused"] and not keep_going:
        return f"{held}: {refused}, so nothing was imported. Mend that, or pass --keep-going to import the rest."
    done = f"{outcomes.count('imported')} imported, {outcomes.count('unchanged')} unchanged"
    return f"{held}: {done}" + (f", {refused}." if counts["refused"] else ".")

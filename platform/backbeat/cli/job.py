"""`backbeat job`: the jobs of this deployment, what they do next, and running one by hand."""

from __future__ import annotations

import getpass
import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import click

from backbeat.cli.common import use_django
from backbeat.cli.job_run import run
from backbeat.cli.listing import columns, lines
from backbeat.cli.run import explain
from backbeat.core.when import iso, to_ms
from backbeat.errors import DefinitionError

_OUTPUT = click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)


@click.group()
def job() -> None:
    """List, show, run, pause and resume jobs."""


job.add_command(run)


@job.command("ls")
@click.option("--pool", help="Only jobs of this pool.")
@click.option("--state", type=click.Choice(["enabled", "paused", "disabled", "orphaned"]), help="Only jobs in this state.")
@click.option("-o", "--output", type=click.Choice(["table", "json", "name"]), default="table", show_default=True)
def ls(pool: str | None, state: str | None, output: str) -> None:
    """List jobs with their next and last run."""
    use_django()
    from backbeat.admin.models import Job
    from backbeat.cli.job_facts import overview, state_of

    rows = Job.objects.prefetch_related("schedules").order_by("name")
    jobs = [one for one in (rows.filter(pool=pool) if pool else rows) if state in (None, state_of(one))]
    if output == "name":
        lines(one.name for one in jobs)
    elif output == "json":
        click.echo(json.dumps(overview(jobs), indent=2))
    else:
        columns(("NAME", "STATE", "NEXT", "LAST", "POOL", "SCHEDULE"), map(_line, overview(jobs)))
        click.echo(f"{len(jobs)} jobs", err=True)


@job.command()
@click.argument("name")
@_OUTPUT
def show(name: str, output: str) -> None:
    """Show a job's definition, schedules and last runs. Exit code 3 when there is no such job."""
    use_django()
    from backbeat.admin.definitions import job_named
    from backbeat.cli.job_facts import details

    facts = details(job_named(name), _now())
    if output == "json":
        click.echo(json.dumps(facts, indent=2))
        return
    schedules, recent = facts.pop("schedules"), facts.pop("recent")
    columns((), ((key, _shown(value)) for key, value in facts.items() if value not in (None, "", [], {})))
    for schedule in schedules:
        click.echo(f"\n{schedule['id']}: {schedule['means']}{'' if schedule['enabled'] else ' (disabled)'}")
        lines(f"  next  {moment}" for moment in schedule["next"])
        lines(f"  note  {note}" for note in schedule["notes"])
    if recent:
        click.echo("\nlast runs")
        columns((), ((f"  {run['run']}", run["state"], run["finished"] or "") for run in recent))


@job.command("next")
@click.argument("name")
@click.option("-n", "count", default=10, show_default=True, type=click.IntRange(1, 1000), help="How many runs to show.")
@_OUTPUT
def next_(name: str, count: int, output: str) -> None:
    """Show a job's next runs: when they are due (UTC), and the wall clock in the schedule's zone."""
    use_django()
    from backbeat.admin.definitions import job_named
    from backbeat.cli.job_facts import state_of, upcoming

    row = job_named(name)
    runs = upcoming(row, count, _now())
    if output == "json":
        click.echo(json.dumps(runs, indent=2))
        return
    columns(("DUE", "IN ITS ZONE", "SCHEDULE"), ((run["due"], run["there"], run["schedule"]) for run in runs))
    if not row.live:
        click.echo(f"{name} is {state_of(row)}: none of these will run until that changes.", err=True)


@job.command()
@click.argument("name")
@click.option("-A", "--app", "app", help="The Celery app, as for celery; by default the Django project's.")
@_OUTPUT
def why(name: str, app: str | None, output: str) -> None:
    """Say why a job does not run now: what holds its unfinished run, else what stands before its next occurrence."""
    explain(lambda answers: answers.why_job(name), app, output)


@job.command()
@click.argument("name")
@click.option("--reason", required=True, help="Why, for the next person.")
@click.option("--until", help="When it resumes by itself, as 2027-01-31T06:00Z; by default when somebody resumes it.")
def pause(name: str, reason: str, until: str | None) -> None:
    """Fire nothing until it is resumed."""
    use_django()
    from backbeat.admin.definitions import job_named
    from backbeat.admin.definitions import pause as pause_job

    pause_job(job_named(name), reason=reason, actor=getpass.getuser(), until=_moment(until))
    click.echo(f"{name} is paused", err=True)


@job.command()
@click.argument("name")
@click.option(
    "--afterwards",
    type=click.Choice(["none", "last", "all", "policy"]),
    help="Which occurrences of the pause run after all, by a backfill; or leave it to the misfire policy. "
    "Asked for at a terminal, else none.",
)
def resume(name: str, afterwards: str | None) -> None:
    """Fire again. Says first how much fell into the pause."""
    use_django()
    from backbeat.admin.definitions import job_named, missed_while_paused
    from backbeat.admin.definitions import resume as resume_job

    found = job_named(name)
    gaps = missed_while_paused(found)
    for schedule_id, gap in gaps.items():
        least = "" if gap.exact else "at least "
        click.echo(f"{schedule_id}: {least}{gap.count} fell into the pause, {iso(gap.first)} to {iso(gap.last)}", err=True)
    if afterwards is None and gaps and sys.stdin.isatty():
        choice = click.Choice(["none", "last", "all", "policy"])
        afterwards = click.prompt("Which of them shall run after all?", type=choice, default="none", err=True)
    resume_job(found, actor=getpass.getuser(), afterwards=afterwards or "none")
    click.echo(f"{name} is resumed", err=True)


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise DefinitionError("until", f"expected a time such as 2027-01-31T06:00Z; got {text!r}.") from None
    to_ms(moment)
    return moment


def _now() -> datetime:
    return datetime.now(UTC)


def _line(facts: Mapping[str, Any]) -> tuple[str, ...]:
    schedule = "; ".join(facts["schedules"])
    return facts["name"], facts["state"], facts["next"] or "-", facts["last"] or "-", facts["pool"], schedule


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)

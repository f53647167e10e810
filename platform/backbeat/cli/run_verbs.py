"""`backbeat run cancel|retry|release|again`: the verbs, for some runs by id or for all that a search finds."""

from __future__ import annotations

import getpass
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import click

from backbeat.cli import exit_code
from backbeat.cli.common import use_app, use_django
from backbeat.cli.job_run import arguments
from backbeat.cli.listing import columns
from backbeat.cli.run_where import chosen
from backbeat.errors import BackbeatError, IllegalTransition, UnknownRun


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a verb for one run."""

    run: str
    outcome: str
    new: str = ""
    """The run that was made."""
    code: int = 0


def selecting(verb: Callable[..., None]) -> Callable[..., None]:
    """The arguments and options of a verb for many runs."""
    options = (
        click.argument("ids", metavar="[ID]...", nargs=-1),
        click.option("--where", "text", help="Instead of ids: such as 'state:failed job:reports.daily'."),
        click.option("--reason", default="", help="Kept with the run."),
        click.option("-y", "--yes", "sure", is_flag=True, help="Do not ask how many runs are meant."),
        click.option("--dry-run", "dry", is_flag=True, help="Only show which runs are meant."),
        click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True),
    )
    for option in reversed(options):
        verb = option(verb)
    return verb


@click.command()
@selecting
def cancel(reason: str, **options: Any) -> None:
    """Cancel runs: at once, or by asking the worker that runs them to stop.

    A run that is cancelled already is left as it is. Exit code 3: unknown; 4: over.
    """

    def one(run_id: str) -> Result:
        from backbeat.runtime import deeds
        from backbeat.store.store import open_store

        outcome = deeds.cancel(open_store(), run_id, deeds.By(getpass.getuser(), reason))
        return _over(run_id) if outcome == "gone" else Result(run_id, outcome)

    _each(one, "cancel", **options)


@click.command()
@selecting
def retry(reason: str, **options: Any) -> None:
    """Run runs that did not end well again, each as a new run with the same arguments.

    Asked twice, it makes one new run. Exit code 3: unknown; 4: unfinished or succeeded.
    """

    def one(run_id: str) -> Result:
        from backbeat.admin.records import DatabaseRecords
        from backbeat.runtime import deeds
        from backbeat.store.store import open_store

        made = deeds.retry(open_store(), DatabaseRecords(), run_id, deeds.By(getpass.getuser(), reason))
        return Result(run_id, "retried" if made.created else "retried before", made.run_id)

    _each(one, "retry", **options)


@click.command()
@selecting
def release(reason: str, **options: Any) -> None:
    """Let runs out of quarantine; their losses are forgiven. Exit code 3: unknown; 4: not in quarantine."""

    def one(run_id: str) -> Result:
        from backbeat.admin.records import DatabaseRecords
        from backbeat.runtime import deeds
        from backbeat.store.store import open_store

        return Result(run_id, deeds.release(open_store(), DatabaseRecords(), run_id, deeds.By(getpass.getuser(), reason)))

    _each(one, "release", **options)


@click.command()
@click.argument("run_id", metavar="ID")
@click.option("--args", help="Other arguments as JSON: a list, or an object with names.")
@click.option("--kwargs", help="Other arguments by name as a JSON object.")
@click.option("--key", help="Idempotency key: the same key twice is the same run.")
@click.option("--reason", default="", help="Kept with the run.")
@click.option("-A", "--app", "app", help="The Celery app, as for celery; by default the Django project's.")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
def again(run_id: str, app: str | None, output: str, **given: Any) -> None:
    """Run a run's job once more, with the same arguments or with others, and print the new run's id."""
    # The code of the jobs knows which arguments fit.
    use_app(app).loader.import_default_modules()
    from backbeat.admin.records import DatabaseRecords
    from backbeat.runtime import deeds
    from backbeat.store.store import open_store

    other = given["args"] is not None or given["kwargs"] is not None
    args, kwargs = arguments(given["args"] or "[]", given["kwargs"] or "{}") if other else (None, None)
    by = deeds.By(getpass.getuser(), given["reason"])
    new = deeds.again(open_store(), DatabaseRecords(), run_id, by, args=args, kwargs=kwargs, key=given["key"])
    click.echo(json.dumps({"run": run_id, "new": new}) if output == "json" else new)


def _each(
    verb: Callable[[str], Result], name: str, *, ids: Sequence[str], text: str | None, sure: bool, dry: bool, output: str
) -> None:
    """Do it for each run, tell what came of each, and exit with the worst code."""
    use_django()
    runs = chosen(ids, text, sure=sure, dry=dry, verb=name)
    results = [Result(run_id, "meant") if dry else _tried(verb, run_id) for run_id in runs]
    if output == "json":
        click.echo(json.dumps([{"run": one.run, "outcome": one.outcome, "new": one.new or None} for one in results], indent=2))
    else:
        columns((), ((one.run, one.outcome, one.new) for one in results))
    if not results:
        click.echo("no run is meant", err=True)
    if worst := max((one.code for one in results), default=0):
        raise click.exceptions.Exit(worst)


def _tried(verb: Callable[[str], Result], run_id: str) -> Result:
    """One run's refusal must not keep the others from their turn."""
    try:
        return verb(run_id)
    except (IllegalTransition, UnknownRun, BackbeatError) as error:
        if exit_code(error) not in (3, 4):
            raise
        return Result(run_id, str(error), code=exit_code(error))


def _over(run_id: str) -> Result:
    """What to say of a run that the ledger does not have any more."""
    from backbeat.admin.records import DatabaseRecords
    from backbeat.core.state import Ask, RunState, require

    record = DatabaseRecords().run(run_id)
    if record is None:
        raise UnknownRun(f"no run {run_id!r} is known; see `backbeat run ls`.")
    if record.state is RunState.CANCELLED:
        return Result(run_id, "cancelled before")
    require(Ask.CANCEL, record.state, run_id)
    return Result(run_id, f"over; history still shows it as {record.state.value}")

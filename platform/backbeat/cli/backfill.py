"""`backbeat backfill`: runs for the occurrences of a stretch of time, behind everything else."""

from __future__ import annotations

import getpass
import json
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from backbeat.cli.common import use_app, use_django
from backbeat.cli.listing import columns
from backbeat.core.backfill import Mode
from backbeat.core.duration import words
from backbeat.errors import DefinitionError

if TYPE_CHECKING:
    from backbeat.admin.backfills import Planned, Wish
    from backbeat.admin.models import Backfill

_OUTPUT = click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
_REASON = click.option("--reason", default="", help="Why, for the next person.")
_ID = click.argument("pk", metavar="ID", type=int)
_ROWS = 20


def wishing(command: Callable[..., None]) -> Callable[..., None]:
    """The arguments that say what a backfill is to do."""
    modes = [mode.value for mode in Mode]
    options = (
        click.argument("job", metavar="JOB"),
        click.option("--from", "since", required=True, help="The first moment, as 2027-01-31 or 2027-01-31T06:00Z."),
        click.option("--to", "until", help="The first moment that does not belong to it; by default now."),
        click.option("--schedule", default="", help="The key of a schedule, where the job has several."),
        click.option(
            "--mode", type=click.Choice(modes), default=modes[0], show_default=True, help="Which occurrences get a run."
        ),
        click.option("--backwards", is_flag=True, help="The newest occurrence first."),
        click.option("--at-once", default=2, show_default=True, help="How many of its runs may be unfinished at a time."),
        click.option("-A", "--app", "app", help="The Celery app, as for celery; by default the Django project's."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.group()
def backfill() -> None:
    """Plan, run and look after backfills of jobs and graphs.

    Moments without a zone are read in the schedule's zone.
    """


@backfill.command()
@wishing
@click.option("--all", "everything", is_flag=True, help="List every occurrence, however many.")
@_OUTPUT
def plan(job: str, output: str, everything: bool, **wish: Any) -> None:
    """Show what a backfill would do with each occurrence, and how long it would take. Changes nothing."""
    _load(wish.pop("app"))
    from backbeat.admin.backfills import plan as plan_of
    from backbeat.admin.definitions import job_named

    planned = plan_of(job_named(job), _wish(**wish))
    if output == "json":
        click.echo(json.dumps(_plan_facts(planned), indent=2))
    else:
        _show_plan(planned, everything)


@backfill.command()
@wishing
@_REASON
@_OUTPUT
def run(job: str, output: str, reason: str, **wish: Any) -> None:
    """Order a backfill, which a keeper carries out, and print its number. Exit code 4 when no occurrence needs a run."""
    _load(wish.pop("app"))
    from backbeat.admin.backfills import order
    from backbeat.admin.definitions import job_named

    made = order(job_named(job), _wish(**wish), actor=getpass.getuser(), reason=reason)
    facts = _facts(made)
    click.echo(json.dumps(facts, indent=2) if output == "json" else made.pk)


@backfill.command("ls")
@click.option("-n", "limit", default=20, show_default=True, type=click.IntRange(1, 10_000), help="At most so many.")
@_OUTPUT
def ls(limit: int, output: str) -> None:
    """List backfills, the newest first."""
    use_django()
    from backbeat.admin.models import Backfill

    rows = [_facts(one) for one in Backfill.objects.order_by("-pk")[:limit]]
    if output == "json":
        click.echo(json.dumps(rows, indent=2))
    else:
        head = ("ID", "STATE", "SCHEDULE", "FROM", "TO", "MODE", "DONE")
        columns(
            head,
            ((str(one["id"]), one["state"], one["schedule"], one["from"], one["to"], one["mode"], _done(one)) for one in rows),
        )


@backfill.command()
@_ID
@_OUTPUT
def show(pk: int, output: str) -> None:
    """Show a backfill: how far it is, what ended how, and who did what to it. Exit code 3 when there is none."""
    use_django()
    from backbeat.admin.models import Backfill
    from backbeat.errors import UnknownRun

    found = Backfill.objects.filter(pk=pk).first()
    if found is None:
        raise UnknownRun(f"there is no backfill {pk}; see `backbeat backfill ls`.")
    facts = _facts(found)
    if output == "json":
        click.echo(json.dumps(facts, indent=2))
        return
    deeds = facts.pop("deeds")
    facts["done"] = _done(facts)
    columns(
        (),
        (
            (name, value if isinstance(value, str) else json.dumps(value))
            for name, value in facts.items()
            if value not in ("", {}, None)
        ),
    )
    columns((), ((deed["at"], deed["actor"], deed["verb"], deed["reason"]) for deed in deeds))


@backfill.command()
@_ID
@_REASON
def pause(pk: int, reason: str) -> None:
    """Make no further run; those that were made go on."""
    _ask(pk, "pause", reason)


@backfill.command()
@_ID
@_REASON
def resume(pk: int, reason: str) -> None:
    """Go on."""
    _ask(pk, "resume", reason)


@backfill.command()
@_ID
@_REASON
def cancel(pk: int, reason: str) -> None:
    """Make no further run, and stop those that are unfinished. What has ended stays as it is."""
    _ask(pk, "cancel", reason)


def _ask(pk: int, verb: str, reason: str) -> None:
    use_django()
    from backbeat.admin.backfills import ask

    found = ask(pk, verb, actor=getpass.getuser(), reason=reason)
    click.echo(f"backfill {pk} is {found.state}")


def _load(app: str | None) -> None:
    """The code of the deployment, which knows how many runs of a graph may be under way."""
    use_app(app).loader.import_default_modules()


def _wish(since: str, until: str | None, schedule: str, mode: str, backwards: bool, at_once: int) -> Wish:
    from backbeat.admin.backfills import Wish

    ends = None if until is None else moment("--to", until)
    return Wish(moment("--from", since), ends, schedule, Mode(mode), backwards, at_once)


def moment(option: str, text: str) -> datetime:
    """A date or a time as a person writes it. Raises DefinitionError."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise DefinitionError(option, f"expected a time such as 2027-01-31 or 2027-01-31T06:00Z; got {text!r}.") from None


def _plan_facts(planned: Planned) -> dict[str, Any]:
    from backbeat.core.when import iso

    return {
        "schedule": planned.schedule_id,
        "from": iso(planned.since),
        "to": iso(planned.until),
        "mode": planned.wish.mode,
        "occurrences": len(planned.slots),
        "create": len(planned.to_create),
        "counts": planned.counts,
        "seconds_each": planned.each,
        "seconds": planned.seconds,
        "at_once": planned.at_once,
        "slots": [{"nominal": iso(one.nominal), "act": one.act, "run": one.run_id, "why": one.why} for one in planned.slots],
    }


def _show_plan(planned: Planned, everything: bool) -> None:
    facts = _plan_facts(planned)
    rows = facts["slots"] if everything else facts["slots"][:_ROWS]
    columns(("OCCURRENCE", "ACT", "RUN", "WHY"), ((one["nominal"], one["act"], one["run"], one["why"]) for one in rows))
    if len(rows) < len(facts["slots"]):
        click.echo(f"… and {len(facts['slots']) - len(rows):,} more; --all lists them")
    click.echo()
    for act, whys in facts["counts"].items():
        for why, count in whys.items():
            click.echo(f"{count:,} {act}: {why}")
    took = planned.seconds
    length = "unknown, as no run was measured" if took is None else f"about {words(round(took, 1))}, {planned.at_once} at a time"
    click.echo(f"{facts['create']:,} of {facts['occurrences']:,} occurrences get a run; length {length}")


def _facts(found: Backfill) -> dict[str, Any]:
    from backbeat.admin.backfills import progress

    return {
        "id": found.pk,
        "state": found.state,
        "job": found.job,
        "schedule": found.schedule,
        "from": found.since.isoformat(),
        "to": found.until.isoformat(),
        "mode": found.mode,
        "backwards": found.backwards,
        "at_once": found.at_once,
        "slots": progress(found),
        "left_out": found.left_out,
        "estimate": found.estimate,
        "reason": found.reason,
        "actor": found.actor,
        "created": found.created_at.isoformat(),
        "finished": found.finished_at and found.finished_at.isoformat(),
        "deeds": found.deeds,
    }


def _done(facts: dict[str, Any]) -> str:
    slots: dict[str, int] = facts["slots"]
    return f"{sum(slots.values()) - _sum(slots, ('waiting', 'asked')):,} of {sum(slots.values()):,}"


def _sum(slots: dict[str, int], states: Iterable[str]) -> int:
    return sum(slots.get(state, 0) for state in states)

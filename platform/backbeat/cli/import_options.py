"""What the importers of Celery's schedulers have in common: options, their checks, and the row of an entry."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import click

from backbeat.cli.import_report import Row
from backbeat.cli.import_saving import dry_run_option
from backbeat.core.beat_jobs import Moving, OldEntry, take
from backbeat.core.duration import seconds, words
from backbeat.core.job import NAME
from backbeat.core.priority import queue_of
from backbeat.core.secrets import masked
from backbeat.core.taking import Names, Refused
from backbeat.core.when import Cron, Every, Once, RRule, Solar, When, iso
from backbeat.core.zone import load
from backbeat.errors import DefinitionError


def moving_options(command: Callable[..., None]) -> Callable[..., None]:
    """The options, in the order of the help."""
    options = (
        click.option("--tz", default="UTC", show_default=True, help="Zone of times that name none: the old app's timezone."),
        click.option("--prefix", default="", help="What the jobs' names start with. Default: nothing, they keep their names."),
        click.option(
            "--queue", "queues", multiple=True, metavar="OLD=POOL", help="The pool for what went to a queue; may be repeated."
        ),
        click.option("--zero-first", is_flag=True, help="Priority 0 was the most urgent, as on a Redis broker."),
        click.option(
            "--shadow",
            metavar="DURATION",
            callback=_length,
            help="Import nothing: watch the old scheduler for so long (30m) and compare its fires with ours.",
        ),
        dry_run_option,
    )
    for option in reversed(options):
        command = option(command)
    return command


def _length(_context: click.Context, _option: click.Parameter, value: str | None) -> float | None:
    try:
        return seconds(value, "shadow")
    except DefinitionError as error:
        raise click.BadParameter(error.sentence) from error


def moving(source: str, options: Mapping[str, Any]) -> Moving:
    """The options, checked before a single entry is read: they would be wrong for every one of them."""
    pools = {}
    for given in options["queues"]:
        queue, separator, pool = given.partition("=")
        if not separator:
            raise click.UsageError(f"--queue: expected OLD=POOL; got {given!r}.")
        pools[queue] = pool
    try:
        load(options["tz"])
        for pool in pools.values():
            queue_of(pool, 0)
    except DefinitionError as error:
        raise click.UsageError(f"{error.field}: {error.sentence}") from error
    if not NAME.match(f"{options['prefix']}x"):
        raise click.UsageError(f"--prefix: expected letters, digits, '_', '-' and '.'; got {options['prefix']!r}.")
    return Moving(source, round(time.time() * 1000), options["prefix"], pools, options["zero_first"])


def row_of(name: str, read: Callable[[], OldEntry], how: Moving, names: Names, there: Mapping[str, Any]) -> Row:
    """The row of one entry; `there` is its own record, which programs get as well."""
    facts = {"there": there}
    try:
        entry = read()
        detail = f"{entry.task}{_call(entry)}"
        return Row(name, shown(entry.when), detail, take(entry, how, names, detail), facts=facts)
    except DefinitionError as error:
        reason = error.sentence if error.field in ("schedule", "entry") else str(error)
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        # Other programs wrote it, into columns that hold anything: one odd entry is refused, and the rest is read.
        reason = f"expected an entry as its own scheduler writes it; it can't be read ({type(error).__name__}: {error})."
    return Row(name, "?", str(there.get("task") or ""), Refused(name, name, reason), facts=facts)


def shown(when: When) -> str:
    """A schedule in a few words, for a column."""
    match when:
        case Cron():
            return when.expr
        case Every():
            return f"every {words(when.ms / 1000)}"
        case Once():
            return f"once {iso(when.ms)}"
        case RRule():
            return when.rule
        case Solar():
            return f"{when.event} {when.lat:g} {when.lon:g}"


def _call(entry: OldEntry) -> str:
    given = [*map(repr, masked(entry.args)), *(f"{name}={value!r}" for name, value in masked(entry.kwargs).items())]
    return f"({', '.join(given)})"

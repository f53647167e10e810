"""`backbeat doctor`: what is wrong with this deployment, and the cure."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict

import click

from backbeat.cli.checkup import OK, PROBLEM, UNREACHABLE, Check, examine
from backbeat.cli.common import use_app

_SIGNS = {OK: ("ok", "green"), PROBLEM: ("!!", "red"), UNREACHABLE: ("--", "yellow")}


@click.command()
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option("-A", "--app", "name", help="The Celery app, as for celery; by default the Django project's.")
def doctor(output: str, name: str | None) -> None:
    """Check Redis, broker, database, code and processes. Exit code 0: all well, 1: a problem, 5: something is unreachable."""
    with _quiet():
        checks = examine(lambda: use_app(name))
        code = _as_json(checks) if output == "json" else _as_table(checks)
    sys.exit(code)


@contextmanager
def _quiet() -> Iterator[None]:
    """What the parts log about their troubles is what the report says better. Whoever called the command may log afterwards."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def _as_table(checks: Iterable[Check]) -> int:
    seen = []
    for check in checks:
        seen.append(check)
        sign, colour = _SIGNS[check.status]
        click.echo(f"{click.style(sign, fg=colour)}  {check.name:<18} {check.detail}")
        if check.cure:
            click.echo(f"{'':<22} cure: {check.cure}")
    bad = sum(check.status != OK for check in seen)
    click.echo(f"\n{len(seen)} checks, {bad or 'none'} not well", err=True)
    return _code(seen)


def _as_json(checks: Iterable[Check]) -> int:
    seen = list(checks)
    click.echo(json.dumps({"ok": _code(seen) == 0, "checks": [asdict(check) for check in seen]}, indent=2))
    return _code(seen)


def _code(checks: list[Check]) -> int:
    statuses = {check.status for check in checks}
    return 5 if UNREACHABLE in statuses else 1 if PROBLEM in statuses else 0

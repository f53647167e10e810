"""`backbeat job run`: one run by hand, and its end when asked to wait."""

from __future__ import annotations

import getpass
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

import click

from backbeat.cli.common import use_app
from backbeat.cli.listing import lines
from backbeat.core.duration import seconds
from backbeat.errors import DefinitionError

_POLL = 0.2


@click.command()
@click.argument("name")
@click.option("--args", default="[]", help="Arguments as JSON: a list, or an object with names.")
@click.option("--kwargs", default="{}", help="Arguments by name as a JSON object.")
@click.option("--key", help="Idempotency key: the same key twice is the same run.")
@click.option("--priority", help="0 to 9, or low, normal, high; by default the job's.")
@click.option("--reason", default="", help="Kept with the run.")
@click.option("--wait", is_flag=True, help="Wait for the end; exit code 1 when it is not success.")
@click.option("--timeout", default="1h", show_default=True, help="How long to wait.")
@click.option("-A", "--app", "app", help="The Celery app, as for celery; by default the Django project's.")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
def run(name: str, app: str | None, wait: bool, timeout: str, output: str, **given: Any) -> None:
    """Run a job now and print the run's id.

    Exit code 2 for arguments that do not fit, 3 when there is no such job, 5 when Redis does not answer.
    """
    patience = seconds(timeout, "timeout") or 0.0
    args, kwargs = arguments(given["args"], given["kwargs"])
    # The code of the jobs knows which arguments fit.
    use_app(app).loader.import_default_modules()
    from backbeat.runtime.submit import submit

    why = given["reason"] or f"run by hand by {getpass.getuser()}"
    run_id = submit(name, args=args, kwargs=kwargs, key=given["key"], priority=_priority(given["priority"]), reason=why)
    if not wait:
        click.echo(json.dumps({"run": run_id}) if output == "json" else run_id)
        return
    _report(_outcome(run_id, patience), output)


def arguments(args: str, kwargs: str) -> tuple[list[Any], dict[str, Any]]:
    """Positional and named arguments from the JSON of two options. Raises DefinitionError."""
    positional, named = _json(args, "--args", (list, dict)), _json(kwargs, "--kwargs", (dict,))
    if isinstance(positional, dict):
        return [], {**positional, **named}
    return positional, named


def _json(text: str, option: str, kinds: tuple[type, ...]) -> Any:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise DefinitionError(option, f'expected JSON, such as \'{{"day": "2026-11-23"}}\'; got {text!r} ({error}).') from None
    if not isinstance(value, kinds):
        expected = " or ".join("a list" if kind is list else "an object" for kind in kinds)
        raise DefinitionError(option, f"expected {expected}; got {text!r}.")
    return value


def _priority(text: str | None) -> int | str | None:
    return int(text) if text is not None and text.isdecimal() else text


def _outcome(run_id: str, patience: float) -> dict[str, Any]:
    from backbeat.cli.job_facts import outcome_of

    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if (outcome := outcome_of(run_id)) is not None:
            return outcome
        time.sleep(_POLL)
    return {"run": run_id, "state": "unfinished", "result": None, "error": None, "reason": f"not finished within {patience:g}s"}


def _report(outcome: Mapping[str, Any], output: str) -> None:
    if output == "json":
        click.echo(json.dumps(outcome))
    else:
        lines(_told(outcome))
    if outcome["state"] != "succeeded":
        raise click.exceptions.Exit(1)


def _told(outcome: Mapping[str, Any]) -> Iterator[str]:
    yield f"{outcome['run']} {outcome['state']}"
    if error := outcome["error"]:
        yield f"{error['type']}: {error['message']}"
    elif outcome["state"] != "succeeded" and outcome["reason"]:
        yield outcome["reason"]
    if outcome["result"] is not None:
        yield json.dumps(outcome["result"])

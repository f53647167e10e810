"""The part of `backbeat dev` and `demo` that needs Django and Celery, in a process of its own that goes when it is done.

It tells its parent what happened by one JSON object a line; `event` says which.
"""

from __future__ import annotations

import json
import secrets
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import click

from backbeat.cli.common import use_app
from backbeat.core.state import TERMINAL
from backbeat.errors import BackbeatError

USER = "admin"
FAVOURITE = "environment_audit"
_ASK_SECONDS, _TELL_SECONDS = 0.1, 2.0


@click.command()
@click.option("--reset-password", is_flag=True)
@click.option("--graph", is_flag=True, help="Run a DAG at once.")
@click.option("--wait", type=float, default=300.0, help="Seconds to wait for that DAG's end.")
def main(reset_password: bool, graph: bool, wait: float) -> None:
    """Prepare the database, then run a DAG to its end."""
    from django.db import OperationalError

    try:
        _perform(reset_password, graph, wait)
    except BackbeatError as error:
        tell("refused", error=str(error))
        sys.exit(1)
    except OperationalError as error:
        cure = "Start it, or correct DATABASE_URL; without that variable SQLite is used."
        tell("refused", error=f"the database does not answer: {str(error).strip()}. {cure}")
        sys.exit(1)


def _perform(reset_password: bool, graph: bool, wait: float) -> None:
    # Loads the modules of jobs and dags as a worker would.
    use_app().loader.import_default_modules()
    tell("prepared", password=_prepared_database(reset_password), user=USER, failures=_synced())
    name = _first_graph() if graph else None
    if name is None:
        tell("no graph")
        return
    from backbeat.runtime.submit import submit

    run = submit(name, reason="first start")
    tell("triggered", graph=name, run=run)
    for fact in followed(run, wait):
        tell(**fact)


def _first_graph() -> str | None:
    """The DAG to show first: the audit, where it is, else the first by name that needs no parameters."""
    from backbeat.runtime import registry

    names = sorted(name for name, job in registry.jobs.items() if job.dag is not None and not job.dag.required)
    return FAVOURITE if FAVOURITE in names else next(iter(names), None)


def tell(event: str, **facts: Any) -> None:
    """Send one fact to the parent."""
    sys.stdout.write(json.dumps({"event": event, **facts}, default=str) + "\n")
    sys.stdout.flush()


def _prepared_database(reset_password: bool) -> str | None:
    """Migrate and make the first user. Its password is a new one until somebody has logged in with one, else None."""
    from django.contrib.auth import get_user_model
    from django.core.management import call_command

    call_command("migrate", interactive=False, verbosity=0)
    users = get_user_model().objects
    user = users.filter(username=USER).first()
    # `make demo` tells nobody the password, and a line that scrolled away may never have been read.
    if user is not None and user.last_login is not None and not reset_password:
        return None
    password = secrets.token_urlsafe(12)
    if user is None:
        users.create_superuser(USER, "", password)
    else:
        user.set_password(password)
        user.save()
    return password


def _synced() -> list[str]:
    """Bring the definitions of the code into the database; the modules that could not be imported."""
    from backbeat.admin.dags import follow_code
    from backbeat.admin.definitions import sync_from_code
    from backbeat.runtime.registry import failures

    sync_from_code()
    return [*map(str, failures), *(": ".join(refused) for refused in follow_code())]


def followed(run: str, wait: float) -> Iterator[dict[str, Any]]:
    """A `progress` fact now and then, and `ended` with the state and lines of summary once history holds the end."""
    from backbeat.admin.models import DagRun, Run

    began = said = time.monotonic()
    while time.monotonic() - began < wait:
        # The run's own row and those of its nodes travel in different streams; the last of either ends the wait.
        state = DagRun.objects.filter(dag_run_id=run).values_list("state", flat=True).first()
        nodes = Counter(Run.objects.filter(dag_run=run).values_list("state", flat=True))
        open_nodes = sum(count for name, count in nodes.items() if name not in TERMINAL)
        if state in TERMINAL and not open_nodes:
            result = _result_of(run)
            yield {"event": "ended", "state": state, "summary": [_count(nodes), *_lines(result)], "report": result.get("report")}
            return
        if time.monotonic() - said > _TELL_SECONDS:
            said = time.monotonic()
            yield {"event": "progress", "done": sum(nodes.values()) - open_nodes, "total": sum(nodes.values())}
        time.sleep(_ASK_SECONDS)
    yield {"event": "ended", "state": f"not ended after {wait:g} s", "summary": []}


def _count(nodes: Mapping[str, int]) -> str:
    return f"{sum(nodes.values())} nodes: " + ", ".join(f"{count} {state}" for state, count in sorted(nodes.items()))


def _result_of(run: str) -> dict[str, Any]:
    """The table that the node which ended last returned; empty when it returned something else."""
    from backbeat.admin.models import Run

    last = Run.objects.filter(dag_run=run).exclude(finished_at=None).order_by("-finished_at").first()
    result = json.loads(last.result) if last is not None and last.result else None
    return result if isinstance(result, dict) else {}


def _lines(table: Mapping[str, Any]) -> list[str]:
    return [f"{name:<14} {value}" for name, value in table.items() if isinstance(value, str | int | float)]


if __name__ == "__main__":
    main()

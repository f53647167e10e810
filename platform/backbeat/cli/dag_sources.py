"""Where `backbeat dag` finds graphs: in the code, in the database, in a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from backbeat.cli.common import use_app
from backbeat.cli.outage import as_outage
from backbeat.errors import GraphError, UnknownJob, nearest

if TYPE_CHECKING:
    from backbeat.core.dag import Dag


def graphs(*, as_written: bool = False) -> dict[str, tuple[Dag, str]]:
    """Every graph by name, with where it comes from: `code`, `admin` or `import`. Without a database those of the code.

    Stored ones are as they run, or `as_written`: with the names of their inner graphs.
    """
    use_app().loader.import_default_modules()
    from backbeat.runtime.registry import jobs

    found = {job.name: (job.dag, "code") for job in jobs.values() if job.dag is not None}
    return {**_stored(as_written), **found}


def named(what: str, job: str, scale: float, *, as_written: bool = False) -> tuple[Dag, dict[str, float]]:
    """The graph of this name or in this file, and the seconds that its nodes took, by history. Raises UnknownJob, GraphError."""
    path = Path(what)
    if path.is_file():
        return from_file(path, job, scale), {}
    found = graphs(as_written=as_written)
    if what not in found:
        raise UnknownJob(f"no DAG is named {what!r}, and no such file is here.{nearest(what, found)}")
    return found[what][0], _measured(what)


def from_file(path: Path, job: str, scale: float, commands: bool = False) -> Dag:
    """The graph in a JSON or YAML file, in any form that is known. Raises GraphError."""
    from backbeat.core.dag_files import read

    try:
        text = path.read_text(encoding="utf-8")
        data = _yaml(text) if path.suffix in (".yaml", ".yml") else json.loads(text)
    except (ValueError, RecursionError) as error:
        raise GraphError(path.name, f"expected JSON; {error}.") from None
    if not isinstance(data, dict):
        raise GraphError(path.name, f"expected an object; got {type(data).__name__}.")
    return read(data, job=job, scale=scale, commands=commands)


def as_text(data: Mapping[str, Any], form: str) -> str:
    """A graph's data as JSON or YAML."""
    if form == "json":
        return json.dumps(data, indent=2, ensure_ascii=False)
    import yaml

    return yaml.safe_dump(dict(data), sort_keys=False, allow_unicode=True).rstrip("\n")


def _yaml(text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise GraphError("file", f"expected YAML; {error}.") from None


def _stored(as_written: bool) -> dict[str, tuple[Dag, str]]:
    from django.db import DatabaseError

    from backbeat.admin.dag_rows import graph_in, running_graph
    from backbeat.admin.models import Dag as Row

    graph_of = graph_in if as_written else running_graph
    try:
        return {row.name: (graph_of(row), row.source) for row in Row.objects.all()}
    except DatabaseError as error:
        click.echo(f"note: only the graphs of the code are known. {as_outage(error) or error}", err=True)
        return {}


def _measured(name: str) -> dict[str, float]:
    from django.db import DatabaseError

    from backbeat.admin.durations import durations_of

    try:
        return durations_of(name)
    except DatabaseError:
        return {}

"""`backbeat sync`: what a deploy runs after `migrate`, so that the database knows the jobs of the code."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import click

from backbeat.cli.common import use_app


@click.command()
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option("-A", "--app", "name", help="The Celery app, as for celery; by default the Django project's.")
def sync(output: str, name: str | None) -> None:
    """Write the jobs of the code into the database; operators' overrides stay.

    Exit code 1 when a module could not be imported or a job was refused; the others are written all the same.
    """
    app = use_app(name)
    app.loader.import_default_modules()

    from backbeat.admin.dags import follow_code
    from backbeat.admin.definitions import sync_from_code
    from backbeat.runtime import registry

    report = asdict(sync_from_code())
    report["refused"] += follow_code()
    failures = [str(failure) for failure in registry.failures]
    if output == "json":
        click.echo(json.dumps({**report, "failures": failures}))
    else:
        for word, names in report.items():
            for one in names:
                click.echo(f"{word:<9} {one if isinstance(one, str) else ': '.join(one)}")
        for failure in failures:
            click.echo(f"failed    {failure}", err=True)
        click.echo(f"{len(registry.jobs)} jobs in code, {len(report['changed']) + len(report['created'])} written", err=True)
    sys.exit(1 if failures or report["refused"] else 0)

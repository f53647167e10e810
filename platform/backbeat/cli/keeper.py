"""`backbeat keeper`: the process that records, reaps, sweeps and publishes."""

from __future__ import annotations

import logging

import click

from backbeat.cli.common import use_app


@click.command()
@click.option(
    "-A",
    "--app",
    "name",
    default=None,
    help="The Celery app, as for celery; by default the Django project's.",
)
@click.option("-l", "--loglevel", default="INFO", show_default=True)
def keeper(name: str | None, loglevel: str) -> None:
    """Record history, find lost runs, mend the index, publish the outbox. Run as many as you like."""
    logging.basicConfig(level=loglevel.upper(), format="%(asctime)s %(levelname)s %(message)s")
    app = use_app(name)

    from backbeat.admin.definitions import DatabaseDefinitions
    from backbeat.admin.duties import database_duties, outliving_outages
    from backbeat.admin.history import DatabaseHistory
    from backbeat.runtime.duties import duties
    from backbeat.runtime.keeper import Keeper
    from backbeat.runtime.keeper_signs import KeeperSigns
    from backbeat.store.store import open_store

    found = [*duties(app, DatabaseHistory(), DatabaseDefinitions()), *database_duties()]
    Keeper([outliving_outages(duty) for duty in found], KeeperSigns(open_store().slots)).run()

"""`backbeat import`: take over schedules from other schedulers, one subcommand for each."""

from __future__ import annotations

from importlib import import_module

import click

SOURCES: dict[str, tuple[str, str]] = {
    "crontab": ("backbeat.cli.import_crontab:crontab", "Entries of crontabs."),
    "redbeat": ("backbeat.cli.import_redbeat:redbeat", "Entries that RedBeat keeps in Redis."),
    "django-celery-beat": ("backbeat.cli.import_beat:django_celery_beat", "Periodic tasks of django-celery-beat."),
}
"""name -> where the command is, and its line in `backbeat import --help`. Imported when used: crontabs need no Redis."""


class ImportGroup(click.Group):
    """The table above as commands."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """In the order of the table."""
        return list(SOURCES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Import the command; None when there is no such one."""
        if cmd_name not in SOURCES:
            return None
        module, _, attribute = SOURCES[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """The table's own lines, so that help imports no command."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in SOURCES.items()])


@click.group("import", cls=ImportGroup)
def import_() -> None:
    """Take over schedules from other schedulers."""

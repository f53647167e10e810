"""The command `backbeat`. A command's module is imported when the command is used, so that help and `cron` are quick.

Exit codes: 0 ok, 1 a run failed or a check found a problem, 2 wrong usage or input, 3 not found, 4 refused by a policy,
5 a server cannot be reached. With `-o json` standard output holds JSON alone; chatter goes to standard error.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import click

from backbeat._version import __version__
from backbeat.cli.outage import as_outage
from backbeat.errors import (
    BackbeatError,
    ConfigurationError,
    DefinitionError,
    IllegalTransition,
    NotAllowed,
    StoreUnavailable,
    UnknownJob,
    UnknownRun,
    nearest,
)

# name -> where the command is, and its line in `backbeat --help`.
LAZY: dict[str, tuple[str, str]] = {
    "dev": ("backbeat.cli.dev:dev", "Start everything on this machine and keep it running."),
    "demo": ("backbeat.cli.dev:demo", "Start everything, run one graph to its end, stop."),
    "init": ("backbeat.cli.init:init", "Write a new deployment: jobs, dags, settings, Procfile."),
    "doctor": ("backbeat.cli.doctor:doctor", "Check this deployment and say the cure of what is wrong."),
    "job": ("backbeat.cli.job:job", "List, show, run, pause and resume jobs."),
    "run": ("backbeat.cli.run:run", "List, show, explain, cancel and repeat runs."),
    "forecast": ("backbeat.cli.forecast:forecast", "Show how many runs are due in the hours to come."),
    "history": ("backbeat.cli.history:history", "Show what history holds and take old months away."),
    "dag": ("backbeat.cli.dag:dag", "Show, plan and run graphs."),
    "backfill": ("backbeat.cli.backfill:backfill", "Run the occurrences of a stretch of time, behind everything else."),
    "cron": ("backbeat.cli.cron:cron", "Explain a cron expression and show its next times."),
    "import": ("backbeat.cli.importing:import_", "Take over schedules from crontab and other schedulers."),
    "sync": ("backbeat.cli.sync:sync", "Write the definitions of the code into the database."),
    "scheduler": ("backbeat.cli.scheduler:scheduler", "Show who leads which shards."),
    "worker": ("backbeat.cli.worker:worker", "Start a Celery worker for a pool."),
    "keeper": ("backbeat.cli.keeper:keeper", "Start a keeper: recorder, reaper and sweepers."),
}

EXIT_CODES: tuple[tuple[type[BackbeatError], int], ...] = (
    (StoreUnavailable, 5),
    (NotAllowed, 4),
    (IllegalTransition, 4),
    (UnknownJob, 3),
    (UnknownRun, 3),
    (DefinitionError, 2),
    (ConfigurationError, 2),
)


class LazyGroup(click.Group):
    """A group whose commands stand in a table and are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The commands whose modules exist, in the order of the table."""
        return [name for name in LAZY if _exists(name)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Import the command; None when there is no such one."""
        if not _exists(cmd_name):
            return None
        module, _, attribute = LAZY[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or say which one was probably meant."""
        name = click.utils.make_str(args[0])
        if not name.startswith("-") and not _exists(name):
            ctx.fail(f"no such command {name!r}.{nearest(name, self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table's own lines, so that help imports no command."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, LAZY[name][1]) for name in self.list_commands(ctx)])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an error that we raise on purpose, or an absent server, becomes one sentence and an exit code."""
        try:
            return super().invoke(ctx)
        except (click.exceptions.Exit, click.ClickException, click.Abort):
            raise
        except Exception as error:
            said = error if isinstance(error, BackbeatError) else as_outage(error)
            if said is None:
                raise
            click.echo(f"backbeat: {said}", err=True)
            ctx.exit(exit_code(said))


def exit_code(error: BackbeatError) -> int:
    """The exit code that stands for an error."""
    return next((code for kind, code in EXIT_CODES if isinstance(error, kind)), 1)


def _exists(name: str) -> bool:
    return name in LAZY and find_spec(LAZY[name][0].partition(":")[0]) is not None


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="backbeat")
def main() -> None:
    """Backbeat: a distributed job scheduler on Celery."""
    # A project's jobs, dags and settings lie where the command is started, as with manage.py.
    if "" not in sys.path:
        sys.path.insert(0, "")

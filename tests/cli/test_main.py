"""`backbeat` itself: quick, and helpful about a slip of the finger."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import click
import pytest
from click.testing import CliRunner

from backbeat import cli, errors


def test_help_lists_commands_in_the_order_of_use() -> None:
    answer = CliRunner().invoke(cli.main, ["--help"])

    assert answer.exit_code == 0
    assert answer.output.index("dev ") < answer.output.index("doctor ")


def test_help_imports_neither_django_nor_celery() -> None:
    probe = "import sys; from backbeat.cli import main; main(['--help'], standalone_mode=False); print(sorted(sys.modules))"

    loaded = subprocess.run([sys.executable, "-c", probe], check=True, capture_output=True, text=True).stdout

    assert not {"'django'", "'celery'", "'redis'"} & set(loaded.replace("[", "").replace("]", "").split(", "))


def test_an_unknown_command_names_the_nearest() -> None:
    answer = CliRunner().invoke(cli.main, ["docter"])

    assert answer.exit_code == 2
    assert "no such command 'docter'. Did you mean 'doctor'?" in answer.output


@pytest.mark.parametrize("name", [name for name in cli.LAZY if cli._exists(name)])
def test_each_row_of_the_table_is_a_command(name: str) -> None:
    module, _, attribute = cli.LAZY[name][0].partition(":")

    assert isinstance(getattr(import_module(module), attribute), click.Command)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.StoreUnavailable(), 5),
        (errors.NotAllowed(), 4),
        (errors.IllegalTransition(), 4),
        (errors.UnknownJob(), 3),
        (errors.UnknownRun(), 3),
        (errors.BadSchedule("schedule", "no"), 2),
        (errors.ConfigurationError(), 2),
        (errors.BackbeatError(), 1),
    ],
)
def test_each_kind_of_error_has_its_exit_code(error: errors.BackbeatError, code: int) -> None:
    assert cli.exit_code(error) == code

"""`backbeat worker` becomes a plain Celery worker with the queues of its pools in their order."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from backbeat import cli

ROOT = Path(__file__).parents[2]


def _printed(*arguments: str) -> list[str]:
    answer = CliRunner().invoke(cli.main, ["worker", "--dry-run", *arguments])
    assert answer.exit_code == 0, answer.output
    return shlex.split(answer.output)


def test_the_command_names_every_queue_of_the_pool_most_urgent_first():
    command = _printed("--pool", "reports")

    assert command[:5] == ["celery", "-A", "webadmin", "worker", "-Q"]
    assert command[5] == ",".join(f"reports.p{priority}" for priority in range(9, -1, -1))


def test_several_pools_are_served_by_urgency_not_pool_by_pool():
    queues = _printed("--pool", "reports", "--pool", "mail", "--pool", "reports")[5].split(",")

    assert queues[:4] == ["reports.p9", "mail.p9", "reports.p8", "mail.p8"]
    assert len(queues) == 20


def test_other_options_go_to_celery():
    command = _printed("-A", "shop", "-c", "4", "-n", "w1@%h", "--autoscale=8,2", "--", "-P", "threads")

    assert command[2] == "shop"
    assert command[command.index("-c") + 1] == "4"
    assert command[command.index("-n") + 1] == "w1@%h"
    assert command[-3:] == ["--autoscale=8,2", "-P", "threads"]


def test_the_app_is_that_of_the_django_project(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "shop.settings")

    assert _printed()[2] == "shop"


def test_a_pool_that_can_be_no_queue_is_refused():
    answer = CliRunner().invoke(cli.main, ["worker", "--dry-run", "--pool", "Reports"])

    assert answer.exit_code == 2
    assert "pool: expected lower-case letters, digits, '-' and '_', at most 50; got 'Reports'." in answer.output


def test_it_prints_the_command_and_becomes_celery(tmp_path: Path):
    (tmp_path / "shop.py").write_text("from backbeat import Backbeat\n\napp = Backbeat('shop')\n")
    command = [sys.executable, "-m", "backbeat.cli", "worker", "-A", "shop", "--pool", "reports", "--", "--help"]

    answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)

    assert answer.returncode == 0, answer.stderr
    assert answer.stderr.startswith("celery -A shop worker -Q reports.p9,reports.p8,")
    assert "Start worker instance." in answer.stdout

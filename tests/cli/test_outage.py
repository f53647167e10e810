"""A server is away or not prepared: every command says so in one sentence with its cure, and ends with exit code 5."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parents[2]
COMMANDS = ("job ls", "job next hello.hello", "sync", "dag show x", "backfill ls")


def ask(command: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "backbeat.cli", *command.split()],
        cwd=HERE,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_a_database_without_our_tables_names_the_migration(command: str, tmp_path: Path) -> None:
    answer = ask(command, DATABASE_URL=f"sqlite:///{tmp_path}/new.sqlite3")

    assert answer.returncode == 5
    assert "lacks tables or columns of this version: no such table: backbeat_" in answer.stderr
    assert "python manage.py migrate" in answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.postgresql
def test_postgresql_without_our_tables_names_the_migration(postgresql_url: str) -> None:
    answer = ask("job ls", DATABASE_URL=postgresql_url.rpartition("/")[0] + "/template1")

    assert answer.returncode == 5
    assert 'relation "backbeat_job" does not exist' in answer.stderr
    assert "python manage.py migrate" in answer.stderr


@pytest.mark.postgresql
def test_an_absent_database_is_named() -> None:
    answer = ask("job ls", DATABASE_URL="postgresql://postgres@127.0.0.1:1/x")

    assert answer.returncode == 5
    assert "The database does not answer" in answer.stderr
    assert "DATABASE_URL" in answer.stderr


def test_an_absent_redis_is_named(tmp_path: Path) -> None:
    answer = ask("scheduler status", REDIS_URL=f"unix://{tmp_path}/nowhere.sock")

    assert answer.returncode == 5
    assert "Redis does not answer" in answer.stderr
    assert "REDIS_URL" in answer.stderr


def test_a_mistake_of_ours_keeps_its_traceback(tmp_path: Path) -> None:
    probe = (
        "import click, redis.exceptions\nfrom backbeat import cli\ncli.LAZY['doctor'] = ('wrong:it', '')\ncli.main(['doctor'])\n"
    )
    (tmp_path / "wrong.py").write_text("import click\n@click.command()\ndef it():\n    raise ZeroDivisionError('a slip')\n")
    answer = subprocess.run([sys.executable, "-c", probe], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)

    assert answer.returncode == 1
    assert "ZeroDivisionError: a slip" in answer.stderr

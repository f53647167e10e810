"""What the pages on moving from RedBeat and django-celery-beat show is what happens, but for dates and places."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from backbeat.cli import main
from tests.drift.tree import ROOT
from tests.support.eventually import eventually
from tests.support.old_beat import OldBeat
from tests.support.processes import OwnProcess
from tests.support.servers import RedisServer

REDBEAT, DJANGO = (ROOT / "docs/howto" / f"move-from-{name}.md" for name in ("redbeat", "django-celery-beat"))
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?")


def blocks(page: Path, kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", page.read_text(), re.DOTALL)


def plain(text: str, source: str) -> str:
    return re.sub(r" +\n", "\n", _MOMENT.sub("MOMENT", text.replace(source, "redis")))


@pytest.fixture
def project(tmp_path: Path, redis_server: RedisServer, redis_url: str) -> dict[str, str]:
    """The page's project, its entries saved as the page saves them."""
    (tmp_path / "old_project.py").write_text(blocks(REDBEAT, "python")[0])
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("BACKBEAT_", "CELERY", "DJANGO_"))}
    paths = f"{tmp_path}{os.pathsep}{ROOT / 'platform'}"
    env = {**clean, "PYTHONPATH": paths, "REDIS_URL": redis_url, "BROKER_URL": redis_server.broker_url}
    subprocess.run([sys.executable, "old_project.py"], cwd=tmp_path, env=env, check=True)
    return env


def test_the_schedule_of_a_redbeat_project_goes_on_with_one_line_changed(
    project: dict[str, str], tmp_path: Path, redis_url: str
) -> None:
    command = blocks(REDBEAT, "console")[0].removeprefix("$ ").split()
    beat = OwnProcess("beat", [sys.executable, "-m", *command], tmp_path, project)
    beat.start()
    try:
        eventually(lambda: OldBeat(redis_url).entry("poll").total_run_count >= 2, within=40, message=beat.logs)
    finally:
        beat.stop()


def test_the_page_on_redbeat_shows_what_the_import_prints(
    project: dict[str, str], redis_server: RedisServer, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = next(block for block in blocks(REDBEAT, "console") if "--dry-run" in block)
    command, shown = session.removeprefix("$ backbeat ").split("\n", 1)

    answer = CliRunner().invoke(main, [*command.split(), "--url", redis_url])

    assert plain(answer.output, str(redis_server.socket)) == plain(shown, "redis"), f"Put the new output into {REDBEAT.name}."


def test_the_page_on_django_celery_beat_shows_what_the_import_prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    session = next(block for block in blocks(DJANGO, "console") if "--dry-run" in block)
    command, shown = session.removeprefix("$ backbeat ").split("\n", 1)
    with sqlite3.connect("old.sqlite3") as connection:
        connection.executescript((ROOT / "tests/support/django_celery_beat/sqlite.sql").read_text())
        kept = [name for name, *_ in re.findall(r"^\| ([^|]+?) \| (\w+\.\w+) \|", DJANGO.read_text(), re.MULTILINE)]
        connection.execute(f"delete from django_celery_beat_periodictask where name not in ({','.join('?' * len(kept))})", kept)

    answer = CliRunner().invoke(main, command.split())

    assert plain(answer.output, "old.sqlite3") == plain(shown, "old.sqlite3"), f"Put the new output into {DJANGO.name}."


@pytest.mark.parametrize("page", [REDBEAT, DJANGO], ids=lambda page: page.stem)
def test_every_option_that_the_pages_name_exists(page: Path) -> None:
    name = "redbeat" if page == REDBEAT else "django-celery-beat"
    known = CliRunner().invoke(main, ["import", name, "--help"]).output

    named = {option for option in re.findall(r"--[a-z][a-z-]+", page.read_text()) if option not in ("--pidfile", "--pool")}

    assert not [option for option in named if option not in known]

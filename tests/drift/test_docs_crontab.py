"""What docs/howto/move-from-crontab.md shows is what the command prints, but for the dates."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from backbeat.cli import main

PAGE = Path(__file__).parents[2] / "docs/howto/move-from-crontab.md"
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d (\d\d:\d\d)")


def test_the_howto_shows_what_the_command_prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crontab, session = re.findall(r"```(?:crontab|console)\n(.*?)```", PAGE.read_text(), re.DOTALL)[:2]
    (tmp_path / "my-crontab").write_text(crontab)
    monkeypatch.chdir(tmp_path)
    command, shown = session.removeprefix("$ backbeat ").split("\n", 1)

    answer = CliRunner().invoke(main, command.split())

    printed, wanted = (_MOMENT.sub(r"DAY \1", text) for text in (answer.output, shown))
    assert printed == wanted, f"Put the new output of `backbeat {command}` into {PAGE.name}."

"""Entries of a crontab, run by the job that they are handed to: what cron's user expects to happen, happens."""

from __future__ import annotations

from pathlib import Path

import pytest

from backbeat.core.crontab import parse
from backbeat.core.crontab_jobs import TASK, Names, Taken, Taking, plan
from jobs.commands import run


def output_of(text: str) -> str:
    (taken,) = (result for result in plan(parse(text, "user"), Taking(tz="UTC"), Names()) if isinstance(result, Taken))
    return str(run(**taken.schedule.kwargs)["output"])


@pytest.mark.parametrize(
    ("crontab", "printed"),
    [
        ("@daily echo one | tr a-z A-Z; echo two >&2\n", "ONE\ntwo\n"),
        ("@daily cat%hello%world\n", "hello\nworld\n"),
        ("@daily cat%100\\%%done\n", "100%\ndone\n"),
        ("@daily printf '\\%s\\n' \"$GREETING\" 50\\%\n", "\n50%\n"),
        ("GREETING='hello  # world '\n@daily echo \"$GREETING\"\n", "hello  # world \n"),
        ("A=1\nA=2\n@daily echo $A # not part of it\n", "2\n"),
        ("SHELL=/bin/bash\n@daily x=abc; echo ${x^^} $SHELL\n", "ABC /bin/bash\n"),
        ("@daily read -r line || echo no input\n", "no input\n"),
        ("HOME=/usr\n@daily pwd\n", "/usr\n"),
    ],
)
def test_an_entry_does_what_it_did_under_cron(crontab: str, printed: str) -> None:
    assert output_of(crontab) == printed


def test_commands_start_in_the_folder_that_the_import_names(tmp_path: Path) -> None:
    (taken,) = plan(parse("@daily pwd\n", "user"), Taking(tz="UTC", cwd=str(tmp_path)), Names())

    assert isinstance(taken, Taken)
    assert run(**taken.schedule.kwargs)["output"] == f"{tmp_path}\n"


def test_the_job_that_runs_commands_has_the_name_that_the_importer_uses() -> None:
    assert run.name == TASK, "backbeat/core/crontab_jobs.py hands every entry to TASK; it must name jobs/commands.py:run"


def test_the_arguments_pass_the_job_s_own_validation() -> None:
    (taken,) = plan(parse("SHELL=/bin/bash\nHOME=/srv\nA=b\n@daily x%y\n", "user"), Taking(tz="UTC"), Names())

    assert isinstance(taken, Taken)
    assert run.params.validate((), dict(taken.schedule.kwargs))

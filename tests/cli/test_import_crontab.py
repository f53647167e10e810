"""`backbeat import crontab --dry-run`: where it reads, what it shows, how it ends. No database is needed for any of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from backbeat.cli import main
from backbeat.cli.crontab_sources import system_zone
from backbeat.core.when import iso

GOOD = "MAILTO=ops@example.org\n30 2 * * * /usr/local/bin/backup-db.sh\n#0 3 * * * /bin/off\n"
BAD = "@reboot /srv/start\n0 3 * * * fine\n61 * * * * never\n"


def dry_run(*arguments: str, stdin: str | bytes | None = None) -> Result:
    return CliRunner().invoke(main, ["import", "crontab", "--dry-run", *arguments], input=stdin)


def lines_of(*arguments: str, stdin: str | bytes | None = None) -> list[dict[str, Any]]:
    answer = dry_run(*arguments, "-o", "json", stdin=stdin)
    return json.loads(answer.stdout)["lines"]  # type: ignore[no-any-return]


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "my crontab"
    path.write_text(GOOD)
    return path


def test_each_line_is_shown_with_what_it_becomes_and_its_next_three_runs(good: Path) -> None:
    answer = dry_run(str(good), "--tz", "Asia/Tokyo")

    assert answer.exit_code == 0, answer.output
    (row,) = [line for line in answer.output.splitlines() if "crontab.backup-db" in line]
    assert row.split()[0] == "2"
    assert row.count(" 02:30") == 3
    assert "disabled" in answer.output
    assert "Dry run: nothing was imported." in answer.output


def test_json_stands_alone_on_standard_output_and_says_it_all(good: Path) -> None:
    answer = dry_run(str(good), "--tz", "Europe/Berlin", "-o", "json")
    found = json.loads(answer.stdout)

    assert found["zone"] == "Europe/Berlin"
    assert found["summary"] == {
        "lines": 3,
        "entries": 1,
        "disabled": 1,
        "variables": 1,
        "comments": 0,
        "blank": 0,
        "taken": 1,
        "refused": 0,
    }
    env, entry, disabled = found["lines"]
    assert (env["kind"], entry["kind"], disabled["kind"]) == ("env", "entry", "disabled")
    assert (entry["line"], entry["job"], entry["task"]) == (2, "crontab.backup-db", "commands.run")
    assert entry["means"] == "At 02:30 every day, Europe/Berlin time."
    assert len(entry["next"]) == 3
    assert "Dry run" in answer.stderr


def test_every_line_that_can_t_be_taken_is_named_with_file_line_and_reason(tmp_path: Path) -> None:
    path = tmp_path / "crontab"
    path.write_text(BAD)

    answer = dry_run(str(path))

    assert answer.exit_code == 2
    assert f"{path}:1: @reboot names no moment" in answer.output
    assert f"{path}:3: expected 0-59 in the minute field; got '61'." in answer.output
    assert "2 lines can't be taken" in answer.output


def test_standard_input_is_read_for_a_dash() -> None:
    (entry,) = lines_of("-", stdin="@daily backup\n")

    assert (entry["file"], entry["job"]) == ("standard input", "crontab.backup")


def test_bytes_that_are_not_utf_8_spoil_one_line_only() -> None:
    first, second = lines_of("-", stdin=b"@daily caf\xe9\n@daily fine\n")

    assert "not UTF-8" in first["reason"]
    assert second["job"] == "crontab.fine"


def test_a_file_that_is_not_there_is_exit_code_3(tmp_path: Path) -> None:
    answer = dry_run(str(tmp_path / "absent"))

    assert answer.exit_code == 3
    assert "No such file" in answer.output


def test_no_source_at_all_is_a_wrong_usage() -> None:
    answer = dry_run()

    assert answer.exit_code == 2
    assert "--system" in answer.output


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--tz", "Europe/Berln"), "Did you mean 'Europe/Berlin'?"),
        (("--pool", "Big Pool"), "lower-case"),
        (("--prefix", "no/slash"), "--prefix"),
        (("--style", "systm"), "system"),
        (("--root", "."), "--system"),
    ],
)
def test_an_option_that_is_wrong_for_every_line_is_refused_at_once(good: Path, options: tuple[str, ...], said: str) -> None:
    answer = dry_run(str(good), *options)

    assert answer.exit_code == 2
    assert said in answer.output
    assert "crontab.backup-db" not in answer.output


def test_your_own_crontab_comes_from_the_program_crontab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _program(tmp_path / "crontab", 'test "$1" = -l && echo "@daily backup --all"')
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    (entry,) = lines_of("--user")

    assert (entry["file"], entry["user"], entry["command"]) == ("crontab -l", None, "backup --all")
    assert entry["kwargs"]["cwd"] == str(Path.home())


def test_a_user_without_a_crontab_is_exit_code_3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _program(tmp_path / "crontab", "echo 'no crontab for me' >&2; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    answer = dry_run("--user")

    assert answer.exit_code == 3
    assert "no crontab for me" in answer.output


def test_a_machine_without_cron_is_exit_code_3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    answer = dry_run("--user")

    assert answer.exit_code == 3
    assert "no program 'crontab'" in answer.output


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """The file system of a machine with cron on it."""
    for folder in ("etc/cron.d", "etc/cron.daily"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "etc/crontab").write_text("17 * * * * root cd / && run-parts --report /etc/cron.hourly\n")
    (tmp_path / "etc/cron.d/php").write_text("09,39 * * * * root /usr/lib/php/sessionclean\n")
    (tmp_path / "etc/cron.d/old.dpkg-old").write_text("09,39 * * * * root /usr/lib/php/sessionclean\n")
    (tmp_path / "etc/cron.d/.placeholder").write_text("# nothing\n")
    (tmp_path / "etc/cron.daily/logrotate").write_text("#!/bin/sh\n")
    (tmp_path / "etc/localtime").symlink_to("/usr/share/zoneinfo/America/New_York")
    return tmp_path


def test_a_whole_machine_is_read_in_its_own_zone(machine: Path) -> None:
    answer = dry_run("--system", "--root", str(machine))

    assert answer.exit_code == 0, answer.output
    assert "crontab.run-parts-hourly" in answer.output
    assert "crontab.sessionclean" in answer.output
    assert "times in America/New_York" in answer.output


def test_what_is_not_read_is_told(machine: Path) -> None:
    answer = dry_run("--system", "--root", str(machine))

    assert "old.dpkg-old: Debian's cron ignores" in answer.output
    assert "cron.daily: its scripts (logrotate) are run by" in answer.output
    assert ".placeholder" not in answer.output


def test_a_machine_without_system_crontabs_is_exit_code_3(tmp_path: Path) -> None:
    assert dry_run("--system", "--root", str(tmp_path)).exit_code == 3


def test_names_are_unique_over_all_files_of_one_import(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_text("@daily backup\n")

    found = lines_of(str(tmp_path / "one"), str(tmp_path / "two"))

    assert [line["job"] for line in found] == ["crontab.backup", "crontab.backup-2"]


def test_a_folder_is_read_as_cron_reads_cron_d(machine: Path) -> None:
    (entry,) = lines_of(str(machine / "etc/cron.d"))

    assert (entry["user"], entry["command"]) == ("root", "/usr/lib/php/sessionclean")


def test_the_place_of_a_file_tells_its_style(tmp_path: Path) -> None:
    for folder in ("cron.d", "var/spool/cron/crontabs", "crontabs"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "app").write_text("@daily fred newsyslog\n@daily fred /bin/x\n")

    in_cron_d, _ = lines_of(str(tmp_path / "cron.d/app"))
    in_spool, _ = lines_of(str(tmp_path / "var/spool/cron/crontabs/app"))
    anywhere, _ = lines_of(str(tmp_path / "crontabs/app"))

    assert (in_cron_d["user"], in_spool["user"], anywhere["user"]) == ("fred", None, "fred")


def test_the_style_can_be_overruled(good: Path) -> None:
    entry = next(line for line in lines_of("-", "--style", "user", stdin="@daily root backup\n"))

    assert (entry["user"], entry["command"]) == (None, "root backup")


def test_the_same_remark_about_many_lines_is_made_once(tmp_path: Path) -> None:
    path = tmp_path / "crontab"
    path.write_text("MAILTO=ops\n" + "@daily backup\n" * 20)

    answer = dry_run(str(path))

    assert answer.output.count("No mail is sent") == 1
    assert f"{path}:2,3,4,5,6,7,8,9 and 12 more: No mail is sent" in answer.output


def test_control_characters_do_not_reach_the_terminal() -> None:
    assert "\x1b" not in dry_run("-", stdin="@daily echo \x1b[2Jgone\n").output


def test_the_value_of_a_secret_is_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "crontab"
    path.write_text("DB_PASSWORD=hunter2\n@daily backup\n")

    assert "hunter2" not in dry_run(str(path)).output


@pytest.mark.parametrize(
    ("localtime", "timezone", "zone"),
    [
        ("/usr/share/zoneinfo/Europe/Berlin", None, "Europe/Berlin"),
        ("../usr/share/zoneinfo/posix/Asia/Tokyo", "Etc/UTC", "Asia/Tokyo"),
        ("a copy", "Europe/Paris\n", "Europe/Paris"),
        ("a copy", None, "UTC"),
        (None, None, "UTC"),
    ],
)
def test_the_zone_of_a_machine(tmp_path: Path, localtime: str | None, timezone: str | None, zone: str) -> None:
    (tmp_path / "etc").mkdir()
    if localtime == "a copy":
        (tmp_path / "etc/localtime").write_bytes(b"TZif")
    elif localtime:
        (tmp_path / "etc/localtime").symlink_to(localtime)
    if timezone:
        (tmp_path / "etc/timezone").write_text(timezone)

    assert system_zone(tmp_path) == zone


def test_a_dry_run_loads_neither_django_nor_celery(good: Path) -> None:
    probe = (
        "import sys; from backbeat.cli import main;"
        f" main(['import', 'crontab', '--dry-run', {str(good)!r}], standalone_mode=False);"
        " print('LOADED', sorted(name for name in sys.modules if name in ('django', 'celery', 'redis')))"
    )

    shown = subprocess.run([sys.executable, "-c", probe], check=True, capture_output=True, text=True).stdout

    assert shown.splitlines()[-1] == "LOADED []"


def test_times_in_json_are_iso_8601_in_utc() -> None:
    (entry,) = lines_of("-", stdin="@daily backup\n")

    assert all(moment.endswith("Z") and len(moment) == len(iso(0)) for moment in entry["next"])


def _program(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)

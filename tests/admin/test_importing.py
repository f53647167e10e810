"""What an import leaves in the database: everything or nothing, and the same twice changes nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from backbeat import conf
from backbeat.admin import definitions
from backbeat.admin.importing import import_jobs
from backbeat.admin.models import Job, Source
from backbeat.cli import main
from backbeat.core.crontab import parse
from backbeat.core.crontab_jobs import Names, Taken, Taking, plan
from backbeat.core.job import JobSpec
from backbeat.core.when import Cron
from backbeat.store.store import open_store
from tests.admin.conftest import default_database
from tests.support.servers import RedisServer

CRONTAB = """\
SHELL=/bin/bash
MAILTO=ops@example.org
CRON_TZ=Europe/Berlin
30 2 * * * /usr/local/bin/backup-db.sh
0~59 3 * * * report%some input
@600 poll
"""


def specs_of(text: str = CRONTAB, pool: str = "default") -> list[JobSpec]:
    results = plan(parse(text, "user"), Taking(tz="UTC", pool=pool), Names())
    return [result.spec for result in results if isinstance(result, Taken)]


@pytest.fixture
def crontab(tmp_path: Path) -> Path:
    path = tmp_path / "crontab"
    path.write_text(CRONTAB)
    return path


def imported(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["import", "crontab", *arguments])


def test_imported_jobs_are_stored_and_will_fire(each_database: str, redis: RedisServer) -> None:
    found = import_jobs(specs_of())

    assert [spec.name for spec in found.new] == ["crontab.backup-db", "crontab.report", "crontab.poll"]
    assert set(Job.objects.values_list("name", "source")) == {(spec.name, "import") for spec in found.new}
    assert all(open_store().index.next_times([spec.name for spec in found.new]).values())


def test_what_is_stored_is_what_was_read(each_database: str, redis: RedisServer) -> None:
    wanted = specs_of()

    import_jobs(wanted)

    assert [definitions.to_spec(definitions.job_named(spec.name)) for spec in wanted] == wanted


def test_the_same_import_again_changes_nothing(each_database: str, redis: RedisServer) -> None:
    import_jobs(specs_of())

    again = import_jobs(specs_of())

    assert (again.new, len(again.unchanged), again.refused) == ((), 3, {})
    assert set(Job.objects.values_list("version", flat=True)) == {1}


def test_what_an_operator_decided_survives_the_next_import(each_database: str, redis: RedisServer) -> None:
    first, *_ = specs_of()
    import_jobs(specs_of())
    definitions.save(replace(first, timeout=600.0, owner="somebody", enabled=False))

    again = import_jobs(specs_of())

    assert first.name in again.unchanged
    assert Job.objects.get(name=first.name).timeout == 600.0


def test_a_job_of_that_name_with_another_schedule_stops_the_whole_import(each_database: str, redis: RedisServer) -> None:
    first, *others = specs_of()
    elsewhere = replace(first, schedules=(replace(first.schedules[0], when=Cron("0 5 * * *")),))
    definitions.save(elsewhere)

    found = import_jobs([first, *others])

    assert "differs in schedules" in found.refused[first.name]
    assert "made in the admin" in found.refused[first.name]
    assert list(Job.objects.values_list("name", flat=True)) == [first.name]


def test_keep_going_imports_the_others(each_database: str, redis: RedisServer) -> None:
    first, *others = specs_of()
    definitions.save(replace(first, pool="elsewhere"), source=Source.IMPORT)

    found = import_jobs([first, *others], keep_going=True)

    assert "differs in pool" in found.refused[first.name]
    assert Job.objects.count() == 3
    assert Job.objects.get(name=first.name).pool == "elsewhere"


def test_more_names_than_a_statement_may_have_variables(transactional_db: None, redis: RedisServer) -> None:
    many = specs_of("".join(f"0 3 * * * job-{number}\n" for number in range(1200)))
    import_jobs(many[:3])

    found = import_jobs([*many[:3], many[-1]])

    assert (len(found.unchanged), len(found.new)) == (3, 1)


def test_the_command_imports_and_says_so(each_database: str, redis: RedisServer, crontab: Path) -> None:
    first, second = imported(str(crontab)), imported(str(crontab))

    assert first.exit_code == second.exit_code == 0, first.output + second.output
    assert "3 imported, 0 unchanged." in first.output
    assert "0 imported, 3 unchanged." in second.output
    assert "crontab.backup-db (unchanged)" in second.output
    assert Job.objects.get(name="crontab.backup-db").labels["crontab"] == str(crontab)


def test_the_command_imports_nothing_when_one_line_can_t_be_taken(
    transactional_db: None, redis: RedisServer, crontab: Path
) -> None:
    crontab.write_text(CRONTAB + "@reboot start\n")

    answer = imported(str(crontab))

    assert answer.exit_code == 2
    assert "nothing was imported" in answer.output
    assert not Job.objects.exists()


def test_the_command_imports_the_rest_with_keep_going(transactional_db: None, redis: RedisServer, crontab: Path) -> None:
    crontab.write_text(CRONTAB + "@reboot start\n")

    answer = imported(str(crontab), "--keep-going")

    assert answer.exit_code == 2
    assert "3 imported, 0 unchanged, 1 line can't be taken." in answer.output
    assert Job.objects.count() == 3


def test_the_command_names_a_collision_with_file_and_line(transactional_db: None, redis: RedisServer, crontab: Path) -> None:
    first, *_ = specs_of()
    definitions.save(replace(first, pool="elsewhere"))

    answer = imported(str(crontab))

    assert answer.exit_code == 2
    assert f"{crontab}:4: a job 'crontab.backup-db' is there already" in answer.output
    assert Job.objects.count() == 1


def test_another_prefix_makes_room_for_a_second_crontab(transactional_db: None, redis: RedisServer, crontab: Path) -> None:
    imported(str(crontab))

    answer = imported(str(crontab), "--prefix", "web1", "--pool", "web1")

    assert answer.exit_code == 0, answer.output
    assert Job.objects.filter(name__startswith="web1.", pool="web1").count() == 3


def test_without_the_job_that_runs_commands_the_report_says_so(transactional_db: None, redis: RedisServer, crontab: Path) -> None:
    before = imported(str(crontab))
    definitions.save(JobSpec(name="commands.run", task="commands.run"))

    after = imported(str(crontab))

    assert "no job 'commands.run' is defined here" in before.output
    assert "no job 'commands.run'" not in after.output


def test_a_database_without_our_tables_is_told_with_the_cure(transactional_db: None, tmp_path: Path, crontab: Path) -> None:
    with default_database(f"sqlite:///{tmp_path}/empty.sqlite3"):
        answer = imported(str(crontab))

    assert answer.exit_code == 5
    assert "manage.py migrate" in answer.output


def test_an_import_does_not_need_redis(transactional_db: None, tmp_path: Path, crontab: Path) -> None:
    with conf.override(redis_url=f"unix://{tmp_path}/absent.sock"):
        answer = imported(str(crontab))

    assert answer.exit_code == 0, answer.output
    assert Job.objects.filter(published_version=0).count() == 3

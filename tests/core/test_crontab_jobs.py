"""The job that an entry becomes, or the reason why it becomes none."""

from __future__ import annotations

import time

import pytest

from backbeat.core.check import verify
from backbeat.core.crontab import parse
from backbeat.core.crontab_jobs import Names, Refused, Taken, Taking, plan, split_percent
from backbeat.core.occurrence import check, upcoming
from backbeat.core.when import Cron, Every
from backbeat.errors import BadSchedule

HOW = Taking(tz="Europe/Berlin", worker_user="worker")


def planned(text: str, style: str = "user", how: Taking = HOW) -> list[Taken | Refused]:
    return list(plan(parse(text, style), how, Names()))  # type: ignore[arg-type]


def taken(text: str, style: str = "user", how: Taking = HOW) -> Taken:
    (result,) = planned(text, style, how)
    assert isinstance(result, Taken), result
    return result


def refused(text: str, style: str = "user", how: Taking = HOW) -> Refused:
    (result,) = planned(text, style, how)
    assert isinstance(result, Refused), result
    return result


def test_an_entry_becomes_a_job_that_runs_its_command_in_a_shell() -> None:
    spec = taken("30 2 * * * /usr/local/bin/backup-db.sh --full > /dev/null\n").spec

    assert (spec.name, spec.task, spec.pool) == ("crontab.backup-db", "commands.run", "default")
    assert spec.schedules[0].when == Cron("30 2 * * *", tz="Europe/Berlin")
    assert spec.schedules[0].kwargs == {"argv": "/usr/local/bin/backup-db.sh --full > /dev/null", "shell": True}


def test_a_job_from_a_crontab_passes_the_check_that_every_job_passes() -> None:
    assert verify(taken("A=b\n@daily backup%input\n").spec)


def test_the_variables_above_an_entry_are_the_command_s() -> None:
    spec = taken("PATH=/opt/bin:/bin\nMAILTO=ops@example.org\nLOGNAME=x\nHOME=/srv\n@daily backup\n").spec

    # LOGNAME is cron's to set, whatever a crontab says.
    assert spec.schedules[0].kwargs["env"] == {"PATH": "/opt/bin:/bin", "MAILTO": "ops@example.org", "HOME": "/srv"}
    assert spec.schedules[0].kwargs["cwd"] == "/srv"


def test_another_shell_than_sh_is_started_as_cron_starts_it() -> None:
    spec = taken("SHELL=/bin/bash\n@daily source ~/.profile && backup\n").spec

    assert spec.schedules[0].kwargs["argv"] == ["/bin/bash", "-c", "source ~/.profile && backup"]
    assert "shell" not in spec.schedules[0].kwargs


def test_cron_tz_moves_the_entries_below_it() -> None:
    first, second = planned("0 9 * * * a\nCRON_TZ=Asia/Tokyo\n0 9 * * * b\n")

    assert isinstance(first, Taken)
    assert isinstance(second, Taken)
    assert first.schedule.when == Cron("0 9 * * *", tz="Europe/Berlin")
    assert second.schedule.when == Cron("0 9 * * *", tz="Asia/Tokyo")


def test_tz_is_the_command_s_and_does_not_move_the_schedule() -> None:
    result = taken("TZ=Asia/Tokyo\n0 9 * * * a\n")

    assert result.schedule.when == Cron("0 9 * * *", tz="Europe/Berlin")
    assert result.schedule.kwargs["env"] == {"TZ": "Asia/Tokyo"}
    assert any("CRON_TZ" in note for note in result.notes)


def test_a_zone_that_does_not_exist_refuses_the_entries_below_it() -> None:
    result = refused("CRON_TZ=Europe/Berln\n0 9 * * * a\n")

    assert result.place == 2
    assert "Did you mean 'Europe/Berlin'?" in result.reason


def test_mailto_becomes_the_owner_and_a_label() -> None:
    result = taken("MAILTO=ops@example.org\n@daily backup\n")

    assert result.spec.owner == "ops@example.org"
    assert result.spec.labels["mailto"] == "ops@example.org"
    assert any("No mail is sent" in note for note in result.notes)


def test_an_empty_mailto_is_nobody() -> None:
    result = taken('MAILTO=""\n@daily backup\n')

    assert (result.spec.owner, "mailto" in result.spec.labels) == ("", False)
    assert result.notes == ()


def test_random_delay_becomes_jitter() -> None:
    assert taken("RANDOM_DELAY=45\n@daily backup\n").schedule.jitter == 45 * 60


def test_an_entry_of_another_user_is_taken_with_a_note_and_its_cure() -> None:
    result = taken("@daily www-data /srv/report\n", "system")

    assert result.spec.labels["user"] == "www-data"
    assert any("'www-data'" in note and "--pool" in note and "sudo -u www-data" in note for note in result.notes)


def test_an_entry_of_the_worker_s_own_user_has_no_note() -> None:
    assert taken("@daily worker:web/daemon /srv/report\n", "system").notes == ()


def test_a_pool_for_each_user() -> None:
    how = Taking(tz="UTC", pool="as-{user}", worker_user="worker")

    assert taken("@daily www-data /srv/report\n", "system", how).spec.pool == "as-www-data"


def test_a_user_that_can_t_be_part_of_a_pool_s_name_refuses_the_entry() -> None:
    assert "pool" in refused("@daily Big.Boss /srv/x\n", "system", Taking(tz="UTC", pool="as-{user}")).reason


def test_the_same_command_twice_is_two_jobs() -> None:
    results = planned("0 3 * * * backup\n0 15 * * * backup\n0 20 * * * /opt/backup.sh\n")

    assert [result.spec.name for result in results if isinstance(result, Taken)] == [
        "crontab.backup",
        "crontab.backup-2",
        "crontab.backup-3",
    ]


def test_an_entry_that_is_refused_keeps_its_name_from_the_next() -> None:
    broken, whole = planned("61 3 * * * backup\n0 15 * * * backup\n")

    assert isinstance(broken, Refused)
    assert isinstance(whole, Taken)
    assert whole.spec.name == "crontab.backup-2"


@pytest.mark.parametrize("macro", ["@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"])
def test_macros_are_schedules(macro: str) -> None:
    check(taken(f"{macro} x\n").schedule.when)


def test_macros_of_freebsd_and_go() -> None:
    whens = [
        result.schedule.when
        for result in planned("@every_minute a\n@every_second b\n@90 c\n@every 1h30m d\n")
        if isinstance(result, Taken)
    ]

    assert whens == [Cron("* * * * *", tz="Europe/Berlin"), Every("1s"), Every("90s"), Every("1h30m")]


def test_reboot_is_refused_with_the_alternatives() -> None:
    reason = refused("@reboot /srv/start\n").reason

    assert "names no moment" in reason
    assert "systemd" in reason


def test_a_misspelt_macro_names_the_nearest() -> None:
    assert "Did you mean '@daily'?" in refused("@dayly x\n").reason


@pytest.mark.parametrize("schedule", ["61 * * * *", "0 0 30 2 *", "* * * * fritag", "*/0 * * * *", "? * * * *", "5-1~ * * * *"])
def test_a_bad_schedule_is_refused_in_the_words_of_the_one_validator(schedule: str) -> None:
    with pytest.raises(BadSchedule) as caught:
        check(Cron(schedule, tz="Europe/Berlin"))

    assert refused(f"{schedule} monday\n").reason == caught.value.sentence


def test_a_random_range_is_drawn_once_and_differs_between_jobs() -> None:
    text = "".join(f"0~59 3 * * * /opt/job{number}\n" for number in range(30))
    moments = [upcoming(result.schedule.when, 0, 2) for result in planned(text) if isinstance(result, Taken)]
    again = [upcoming(result.schedule.when, 0, 2) for result in planned(text) if isinstance(result, Taken)]

    assert len(moments) == 30
    assert len({first for first, _ in moments}) > 10
    assert moments == again
    assert all(second - first == 86_400_000 for first, second in moments)


def test_day_and_weekday_together_bring_a_warning() -> None:
    assert any("either" in note for note in taken("0 0 13 * 5 x\n").notes)


def test_a_command_in_the_background_and_a_line_that_goes_on_bring_warnings() -> None:
    assert any("background" in note for note in taken("@daily x &\n").notes)
    assert any("joins no lines" in note for note in taken("@daily x \\\n").notes)


def test_a_secret_among_the_variables_brings_a_warning() -> None:
    assert any("DB_PASSWORD" in note for note in taken("DB_PASSWORD=x\n@daily y\n").notes)


@pytest.mark.parametrize(
    ("written", "command", "stdin"),
    [
        ("x", "x", None),
        ("date +\\%F", "date +%F", None),
        ("cat%hello%world", "cat", "hello\nworld\n"),
        ("mail -s hi joe%Joe,%%Where are your kids?%", "mail -s hi joe", "Joe,\n\nWhere are your kids?\n"),
        ("cat%100\\%%done", "cat", "100%\ndone\n"),
        ("cat%", "cat", None),
        ("cat%%", "cat", "\n"),
        ("echo a\\\\%b", "echo a\\\\", "b\n"),
        ("cat%a\\\\%b", "cat", "a\\%b\n"),
        ("printf 'a\\n' \\", "printf 'a\\n' \\", None),
    ],
)
def test_percent_signs_are_read_as_cron_reads_them(written: str, command: str, stdin: str | None) -> None:
    assert split_percent(written) == (command, stdin)


def test_a_template_s_placeholder_is_no_command() -> None:
    assert "nothing stands before" in refused("@daily %(django)s cleanup\n").reason


def test_lines_that_are_none_are_refused_with_their_number() -> None:
    results = planned("# comment\nnonsense\n@daily x\n")

    assert [(type(result).__name__, result.place) for result in results] == [("Refused", 2), ("Taken", 3)]


def test_where_a_job_came_from_is_kept() -> None:
    spec = taken("@daily backup\n", how=Taking(tz="UTC", source="/etc/cron.d/x")).spec

    assert spec.labels["crontab"] == "/etc/cron.d/x"
    assert "@daily backup" in spec.description


def test_a_large_crontab_is_planned_in_seconds() -> None:
    text = "".join(f"{number % 60} {number % 24} * * {number % 7} /usr/bin/job --number {number}\n" for number in range(20_000))
    began = time.process_time()

    results = planned(text)

    assert sum(isinstance(result, Taken) for result in results) == 20_000
    assert time.process_time() - began < 15

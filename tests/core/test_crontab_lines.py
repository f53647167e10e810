"""What one line of a crontab is taken for."""

from __future__ import annotations

import pytest

from backbeat.core.crontab_lines import LONGEST, Blank, Comment, Env, Other, Timed, read


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("MAILTO=root", "MAILTO", "root"),
        ("MAILTO = root", "MAILTO", "root"),
        ("\tPATH=/bin:/usr/bin  ", "PATH", "/bin:/usr/bin"),
        ('MAILTO=""', "MAILTO", ""),
        ("MAILTO=", "MAILTO", ""),
        ('A="  kept  "', "A", "  kept  "),
        ("A='single \"inside\"'", "A", 'single "inside"'),
        ('A=it"s', "A", 'it"s'),
        ("A=b # this belongs to the value", "A", "b # this belongs to the value"),
        ("A=x=y", "A", "x=y"),
        ('"A B"=c', "A B", "c"),
        ("CRON_TZ=Europe/Berlin", "CRON_TZ", "Europe/Berlin"),
    ],
)
def test_a_variable_is_read_as_cron_reads_it(text: str, name: str, value: str) -> None:
    line = read(1, text)

    assert isinstance(line, Env)
    assert (line.name, line.value) == (name, value)


@pytest.mark.parametrize(
    ("text", "schedule", "rest"),
    [
        ("0 3 * * * backup", "0 3 * * *", "backup"),
        ("  0\t3 *  *\t*\t\troot  backup  now", "0 3 * * *", "root  backup  now"),
        ("*/5,3 0-23/2 1-7 JAN,mar Mon-FRI x", "*/5,3 0-23/2 1-7 JAN,mar Mon-FRI", "x"),
        ("0~30 ~ 1~15 * * x", "0~30 ~ 1~15 * *", "x"),
        ("@daily x", "@daily", "x"),
        ("@every_minute root x", "@every_minute", "root x"),
        ("@every  1h30m x", "@every 1h30m", "x"),
        ("@600 x", "@600", "x"),
        ("0 5 * * * A=b x", "0 5 * * *", "A=b x"),
        ("@daily A=b x", "@daily", "A=b x"),
        ("0 5 * * * echo '#' # no comment", "0 5 * * *", "echo '#' # no comment"),
        ("0 5 * * * tail blanks  ", "0 5 * * *", "tail blanks  "),
        ("99 99 99 99 99 x", "99 99 99 99 99", "x"),
    ],
)
def test_an_entry_is_parted_into_schedule_and_rest(text: str, schedule: str, rest: str) -> None:
    line = read(7, text)

    assert isinstance(line, Timed)
    assert (line.line, line.schedule, line.rest, line.disabled) == (7, schedule, rest, False)


@pytest.mark.parametrize("text", ["-*/15 * * * * root x", "-0 3 * * * root x", "-@daily root x"])
def test_suse_s_dash_is_dropped_and_mentioned(text: str) -> None:
    line = read(1, text)

    assert isinstance(line, Timed)
    assert not line.schedule.startswith("-")
    assert "do not log" in line.notes[0]


@pytest.mark.parametrize("text", ["", "   ", "\t \t"])
def test_blanks_are_a_blank_line(text: str) -> None:
    assert isinstance(read(1, text), Blank)


@pytest.mark.parametrize(
    "text",
    [
        "# m h  dom mon dow   command",
        "#min\thour\tmday\tmonth\twday\twho\tcommand",
        "# |  |  |  |  |",
        "# *  *  *  *  * user-name  command to be executed",
        "#MAILTO=root",
        "# See crontab(5) for 3 * 4 reasons to go on with this",
        "   # indented",
        "#",
        "# @param is no macro of cron",
        "# caf\udce9",
    ],
)
def test_a_comment_stays_a_comment(text: str) -> None:
    assert isinstance(read(1, text), Comment)


@pytest.mark.parametrize("text", ["#0 3 * * * backup", "# 0\t3 * * * backup", "##  @daily backup", "#0 3 * * * root backup"])
def test_an_entry_behind_a_hash_is_noticed(text: str) -> None:
    line = read(1, text)

    assert isinstance(line, Timed)
    assert line.disabled


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("hello world", "expected a comment"),
        ("0 3 * * backup now", "field 5 is 'backup'"),
        ("0 3", "only 2 came"),
        ("export A=b", "no 'export'"),
        ('A="never closed', "never closed"),
        ('A="b" c', "text follows the closing quote"),
        ("1 5 cron.daily nice run-parts /etc/cron.daily", "anacrontab"),
        ("{{ minute }} 3 * * * backup", "placeholder"),
        ("0 %(hour)s * * * backup", "placeholder"),
        ("0 3 * * * a\0b", "NUL"),
        ("0 3 * * * caf\udce9", "not UTF-8"),
        ("0 3 * * * " + "x" * LONGEST, "longer than"),
        ("0\u00a03 * * * backup", "expected a comment"),
    ],
)
def test_a_line_that_makes_no_sense_says_why(text: str, reason: str) -> None:
    line = read(3, text)

    assert isinstance(line, Other)
    assert line.line == 3
    assert reason in line.reason


@pytest.mark.parametrize(
    "text", ["=" * 100_000, "A=" + " " * 100_000, "* " * 60_000, "'" * 100_000, "A" * 100_000 + " b", "#" * 100_000]
)
@pytest.mark.timeout(5)
def test_a_line_made_to_be_slow_is_not(text: str) -> None:
    assert read(1, text).line == 1

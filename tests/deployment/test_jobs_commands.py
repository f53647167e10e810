"""`commands.run`: real programs, real signals, real workers."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from backbeat.runtime.context import CurrentRun, running
from jobs.commands import CommandFailed, CommandNotStarted, run


def test_a_list_reaches_the_program_word_by_word() -> None:
    words = ["two words", "$HOME", ";", "*", "", "'quoted'", "ü"]

    result = run([sys.executable, "-c", "import sys; print(sys.argv[1:])", *words])

    assert result["output"] == f"{words}\n"
    assert result["exit_code"] == 0
    assert result["bytes"] == len(result["output"].encode())


def test_a_shell_is_used_only_when_asked_for() -> None:
    assert run("echo one | tr a-z A-Z", shell=True)["output"] == "ONE\n"

    with pytest.raises(CommandNotStarted, match=r"expected a list of words.*Write \['echo', 'one'\]"):
        run("echo one")
    with pytest.raises(CommandNotStarted, match="shell=True expects one command line"):
        run(["echo", "one"], shell=True)


def test_both_streams_are_kept_in_the_order_in_which_they_were_written() -> None:
    assert run("echo a; echo b >&2; echo c", shell=True)["output"] == "a\nb\nc\n"


def test_the_input_reaches_the_program_whole() -> None:
    text = "ü" * 500_000

    assert run(["wc", "-c"], stdin=text)["output"].strip() == "1000000"
    assert run(["cat"])["output"] == "", "without stdin the input is empty"
    assert run(["true"], stdin=text)["exit_code"] == 0, "a program that never reads is not waited for"


def test_variables_are_added_and_the_rest_can_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_SECRET", "s3cret")

    full = run(["env"], env={"GREETING": "hello"})["output"].splitlines()
    bare = run(["env"], env={"GREETING": "hello"}, inherit_env=False)["output"].splitlines()

    assert {"GREETING=hello", "SOME_SECRET=s3cret"} <= set(full)
    assert "GREETING=hello" in bare
    assert f"PATH={os.environ['PATH']}" in bare
    assert "SOME_SECRET=s3cret" not in bare


def test_the_program_knows_its_run() -> None:
    with running(CurrentRun(id="nightly@2026-11-23T02:00:00Z", job="nightly", attempt=2)):
        result = run("echo $BACKBEAT_RUN_ID $BACKBEAT_ATTEMPT", shell=True)

    assert result["output"] == "nightly@2026-11-23T02:00:00Z 2\n"


def test_it_runs_in_the_folder_asked_for(tmp_path: Path) -> None:
    assert run(["pwd", "-P"], cwd=str(tmp_path))["output"].strip() == str(tmp_path.resolve())


def test_another_exit_code_fails_with_the_code_and_the_end_of_the_output() -> None:
    with pytest.raises(CommandFailed, match="ended with exit code 3; success is 0") as caught:
        run("seq 5000; echo it broke >&2; exit 3", shell=True)

    assert caught.value.exit_code == 3
    assert caught.value.output.endswith("5000\nit broke")
    assert len(caught.value.output) <= 2000
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.exit_code, again.output) == (str(caught.value), 3, caught.value.output)


def test_other_codes_can_count_as_success() -> None:
    assert run(["sh", "-c", "exit 24"], ok_codes=[0, 24])["exit_code"] == 24
    with pytest.raises(CommandFailed, match="exit code 0; success is 24"):
        run(["true"], ok_codes=[24])


def test_a_program_that_a_signal_ends_says_which() -> None:
    with pytest.raises(CommandFailed, match="ended by signal 9") as caught:
        run("kill -KILL $$", shell=True)

    assert caught.value.exit_code == -9


def test_a_missing_program_is_named_with_the_nearest() -> None:
    with pytest.raises(CommandNotStarted, match=r"got 'slep': it is not on PATH \(.*\)\. Did you mean 'sleep'\?"):
        run(["slep", "1"])
    with pytest.raises(CommandNotStarted, match="no such file, seen from"):
        run(["./nothing-here"])


def test_what_is_not_a_program_is_refused_with_the_reason(tmp_path: Path) -> None:
    def script(name: str, text: str, mode: int = 0o755) -> list[str]:
        path = tmp_path / name
        path.write_text(text)
        path.chmod(mode)
        return [str(path)]

    with pytest.raises(CommandNotStarted, match="is a folder that this worker's user may not run"):
        run([str(tmp_path)])
    with pytest.raises(CommandNotStarted, match="is a file that this worker's user may not run"):
        run(script("plain", "#!/bin/sh\n", mode=0o644))
    with pytest.raises(CommandNotStarted, match="needs a first line such as"):
        run(script("headless", "echo hello\n"))
    with pytest.raises(CommandNotStarted, match="names an interpreter, in its first line, that is not on this worker"):
        run(script("foreign", "#!/no/such/interpreter\n"))
    with pytest.raises(CommandNotStarted, match="too long for this system"):
        run(["echo", "x" * 3_000_000])


@pytest.mark.parametrize(
    ("argv", "options", "sentence"),
    [
        ([], {}, "expected a list of texts that opens with a program"),
        ([""], {}, "expected a list of texts that opens with a program"),
        (["echo", "a\0b"], {}, "NUL"),
        (["echo"], {"cwd": "/no/such/folder"}, "cwd: expected a folder.*which is not there"),
        (["echo"], {"cwd": __file__}, "cwd: expected a folder.*which is a file"),
        (["echo"], {"env": {"A=B": "c"}}, "env: 'A=B' can't be a variable"),
        (["echo"], {"env": {"A": "\0"}}, "env: 'A' can't be a variable"),
        (["echo"], {"timeout": 0}, "timeout: expected seconds above zero"),
        (["echo"], {"timeout": float("nan")}, "timeout: expected seconds above zero"),
        (["echo"], {"grace": -1}, "grace: expected 0 to 300 seconds"),
        (["echo"], {"max_output": 10}, "max_output: expected 1024 to"),
    ],
)
def test_bad_arguments_are_refused_before_anything_starts(argv: list[str], options: dict[str, object], sentence: str) -> None:
    with pytest.raises(CommandNotStarted, match=sentence):
        run(argv, **options)


def test_long_output_keeps_its_head_and_tail_and_counts_the_rest() -> None:
    result = run(["seq", "100000"], max_output=2048)

    head, cut, tail = result["output"].partition("\n[... 586847 bytes cut ...]\n")
    assert result["bytes"] == 588_895
    assert cut
    assert head.startswith("1\n2\n3\n")
    assert tail.endswith("\n100000\n")
    assert len(head) + len(tail) == 2048


def test_endless_output_is_drained_in_bounded_memory() -> None:
    script = """
import resource, sys
from jobs.commands import CommandTimedOut, run
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    run("yes & tr '\\\\0' x </dev/zero", shell=True, timeout=1.5)
except CommandTimedOut:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""

    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)

    assert int(ended.stdout) < 30_000, "kilobytes grown, while hundreds of megabytes were printed"


def test_lines_go_to_the_log_of_the_run_without_control_characters(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "backbeat.job")

    run(r"printf '\033[31mred\033[0m\rover\n\007bell\nno line end'", shell=True)

    assert [record.getMessage() for record in caplog.records] == ["redover", "bell", "no line end"]


def test_the_log_is_bounded_too(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "backbeat.job")

    run("seq 100000; head -c 1000000 /dev/zero", shell=True, max_output=2048)

    messages = [record.getMessage() for record in caplog.records]
    assert messages[:3] == ["1", "2", "3"]
    assert messages[-1] == "further output is not logged"
    assert sum(map(len, messages)) < 5000


def test_bytes_that_are_no_text_are_replaced() -> None:
    result = run([sys.executable, "-c", r"import sys; sys.stdout.buffer.write(b'a\x00b\xffc')"])

    assert result["output"] == "a\ufffdb\ufffdc"
    assert result["bytes"] == 5

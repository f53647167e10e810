"""Commands: run a program and keep what it printed. `docs/howto/run-a-command.md` shows it at work."""

from __future__ import annotations

import errno
import math
import os
import shlex
import shutil
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from backbeat import current_run, job
from jobs._process import Command, Ended, execute

LARGEST_OUTPUT = 16 * 1024 * 1024
_BASIC = ("HOME", "LANG", "LOGNAME", "PATH", "SHELL", "TMPDIR", "TZ", "USER")


class CommandFailed(Exception):
    """A program could not be started, or ended with an exit code that does not count as success."""

    def __init__(self, message: str, exit_code: int | None = None, output: str = "") -> None:
        self.exit_code = exit_code
        """None when the program never started; -N when signal N ended it."""
        self.output = output
        """The end of what it printed, at most 2,000 bytes."""
        super().__init__(message, exit_code, output)

    def __str__(self) -> str:
        return f"{self.args[0]} It printed:\n{self.output}" if self.output else str(self.args[0])


class CommandNotStarted(CommandFailed):
    """There is no such program or folder, or it may not be run."""


class CommandTimedOut(CommandFailed):
    """The program ran longer than its `timeout`, so its whole process group was ended."""


@job
def run(
    argv: list[str] | str,
    *,
    shell: bool = False,
    cwd: str | None = None,
    env: dict[str, str] | None = None,
    inherit_env: bool = True,
    stdin: str | None = None,
    timeout: float | None = None,
    grace: float = 5.0,
    max_output: int = 32768,
    ok_codes: list[int] | None = None,
) -> dict[str, Any]:
    """Run a program and wait for it. Its output goes to the run's log line by line, and its head and tail to the result.

    `argv` is a list of words, given to the program as they are; a command line for /bin/sh only with `shell=True`.
    `env` is added to the worker's environment, or to a bare one (PATH, HOME, LANG and such) with `inherit_env=False`;
    BACKBEAT_RUN_ID and BACKBEAT_ATTEMPT are always there, as keys for whatever must not happen twice. After `timeout`
    seconds, and on a cancel or a time limit of the job, the process group gets SIGTERM and, `grace` seconds later,
    SIGKILL. What the program leaves running in its group when it exits is ended in the same way.

    Returns `{"exit_code", "output", "bytes", "seconds"}`. Raises CommandFailed with the exit code and the end of the
    output for a code that is not in `ok_codes` (0 only, by default), CommandNotStarted and CommandTimedOut.
    """
    words = _words(argv, shell=shell)
    _check(cwd, timeout, grace, max_output)
    environment = _environment(env, inherit=inherit_env)
    ended = _executed(Command(words, cwd, environment, stdin, timeout, grace, max_output))
    _judge(words, ended, timeout, ok_codes or [0])
    return {"exit_code": ended.exit_code, "output": ended.output, "bytes": ended.bytes, "seconds": round(ended.seconds, 3)}


def _words(argv: list[str] | str, *, shell: bool) -> list[str]:
    if shell and not isinstance(argv, str):
        raise CommandNotStarted(f"shell=True expects one command line as text; got a list, {argv!r}. Leave shell out for a list.")
    if isinstance(argv, str) and not shell:
        cure = f"Write {shlex.split(argv, posix=False)!r}, or shell=True if a shell is really wanted."
        raise CommandNotStarted(f"expected a list of words; got the text {argv!r}. {cure}")
    words = ["/bin/sh", "-c", argv] if isinstance(argv, str) else list(argv)
    if not words or not all(isinstance(word, str) for word in words) or not words[0]:
        raise CommandNotStarted(f"expected a list of texts that opens with a program; got {argv!r}.")
    if any("\0" in word for word in words):
        raise CommandNotStarted(f"a command's words can't hold a NUL character; got {argv!r}.")
    return words


def _check(cwd: str | None, timeout: float | None, grace: float, max_output: int) -> None:
    if cwd is not None and not Path(cwd).is_dir():
        raise CommandNotStarted(f"cwd: expected a folder on this worker; got {cwd!r}, which is {_kind(cwd)}.")
    if timeout is not None and not 0 < timeout < math.inf:
        raise CommandNotStarted(f"timeout: expected seconds above zero, or nothing for no limit; got {timeout!r}.")
    if not 0 <= grace <= 300:
        raise CommandNotStarted(f"grace: expected 0 to 300 seconds; got {grace!r}.")
    if not 1024 <= max_output <= LARGEST_OUTPUT:
        raise CommandNotStarted(f"max_output: expected 1024 to {LARGEST_OUTPUT} bytes; got {max_output!r}.")


def _environment(added: Mapping[str, str] | None, *, inherit: bool) -> dict[str, str]:
    base = dict(os.environ) if inherit else {name: os.environ[name] for name in _BASIC if name in os.environ}
    this = current_run()
    wanted = {**base, "BACKBEAT_RUN_ID": str(this.id), "BACKBEAT_ATTEMPT": str(this.attempt), **(added or {})}
    for name, value in wanted.items():
        if not name or "=" in name or "\0" in name + value:
            raise CommandNotStarted(f"env: {name!r} can't be a variable: names hold no '=', and nothing holds a NUL character.")
    return wanted


def _executed(command: Command) -> Ended:
    try:
        return execute(command, current_run().log)
    except OSError as error:
        raise CommandNotStarted(_why(command, error)) from error


def _why(command: Command, error: OSError) -> str:
    program = command.argv[0]
    if error.errno == errno.ENOENT:
        path = (command.env or os.environ).get("PATH", os.defpath)
        found = shutil.which(program, path=path)
        if found:  # the kernel says the same of a script's first line
            return f"{found} names an interpreter, in its first line, that is not on this worker."
        where = f"no such file, seen from {command.cwd or Path.cwd()}" if "/" in program else f"it is not on PATH ({path})"
        return f"expected a program; got {program!r}: {where}.{_nearest(program, path)}"
    if error.errno == errno.EACCES:
        return f"{program!r} is {_kind(program)} that this worker's user may not run."
    if error.errno == errno.ENOEXEC:
        return f"{program!r} is not a program: a script needs a first line such as #!/bin/sh."
    if error.errno == errno.E2BIG:
        return f"the arguments of {program!r} are too long for this system; hand large input over with stdin."
    return f"{program!r} could not be started: {error.strerror or error}."


def _nearest(program: str, path: str) -> str:
    folders = [Path(folder) for folder in path.split(os.pathsep) if folder and Path(folder).is_dir()]
    known = {entry.name for folder in folders for entry in folder.iterdir()}
    close = get_close_matches(program, known, n=1, cutoff=0.75)
    return f" Did you mean {close[0]!r}?" if close else ""


def _kind(path: str) -> str:
    if not Path(path).exists():
        return "not there"
    return "a folder" if Path(path).is_dir() else "a file"


def _judge(words: list[str], ended: Ended, timeout: float | None, ok_codes: list[int]) -> None:
    shown = shlex.join(words)
    shown = shown if len(shown) <= 200 else shown[:199] + "…"
    if ended.timed_out:
        message = f"`{shown}` was ended because it ran longer than its timeout of {timeout:g} s."
        raise CommandTimedOut(message, ended.exit_code, ended.tail)
    if ended.exit_code not in ok_codes:
        how = f"was ended by signal {-ended.exit_code}" if ended.exit_code < 0 else f"ended with exit code {ended.exit_code}"
        raise CommandFailed(f"`{shown}` {how}; success is {', '.join(map(str, ok_codes))}.", ended.exit_code, ended.tail)

"""What becomes of a crontab's entries: a job for each, or the reason why not.

Whether a schedule is valid is for `core.check` to say, as everywhere; here cron's own words are only put
into ours: `@reboot`, `@every_minute`, random `~` ranges, `%` for input, the user column, variables above the line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from backbeat.core.check import verify
from backbeat.core.crontab import Crontab
from backbeat.core.crontab_lines import Entry, Other
from backbeat.core.crontab_names import name_of
from backbeat.core.crontab_schedules import when_of
from backbeat.core.job import JobSpec, Schedule
from backbeat.core.notes import notes
from backbeat.core.taking import Names, Refused, Taken
from backbeat.core.when import When
from backbeat.errors import DefinitionError

__all__ = ["SECRET", "TASK", "USER_HERE", "Names", "Refused", "Taken", "Taking", "plan", "split_percent", "take"]

TASK = "commands.run"
NO_COMMAND = "cron ends the command at a bare '%', and nothing stands before it; write \\% for a percent sign."
USER_HERE = "{user}"
SECRET = re.compile(r"PASS|SECRET|TOKEN|CREDENTIAL|(API|PRIVATE|ACCESS)_?KEY", re.IGNORECASE)
"""Names of variables whose values are probably not for everybody."""


@dataclass(frozen=True, slots=True)
class Taking:
    """How entries are taken over.

    `tz` is the zone of entries without CRON_TZ above them. `{user}` in `pool` stands for the entry's user.
    `worker_user` is who the workers run as; an entry of somebody else gets a note. `cwd` is where commands start when
    the crontab sets no HOME. `source` says where the crontab came from.
    """

    tz: str
    pool: str = "default"
    prefix: str = "crontab"
    worker_user: str = ""
    cwd: str | None = None
    source: str = "crontab"


def plan(crontab: Crontab, how: Taking, names: Names) -> Iterator[Taken | Refused]:
    """Every entry and every line that is none, in the order of the file. Variables, comments and blanks need nothing."""
    for line in crontab.lines:
        if isinstance(line, Other):
            yield Refused(line.line, line.text, line.reason)
        elif isinstance(line, Entry):
            yield take(line, how, names)


def take(entry: Entry, how: Taking, names: Names) -> Taken | Refused:
    """The job of one entry. A name is used up even by an entry that is refused, so that mending it renames no other."""
    command, stdin = split_percent(entry.command)
    name = names.free(f"{how.prefix}.{name_of(command)}")
    if not command.strip():
        return Refused(entry.line, entry.text, NO_COMMAND)
    try:
        when, said = when_of(entry, how.tz, hash_key=name)
        schedule = Schedule(when, kwargs=_arguments(entry, how, command, stdin), jitter=_delay(entry.env))
        spec = verify(JobSpec(name=name, task=TASK, schedules=(schedule,), **_policies(entry, how)))
    except DefinitionError as error:
        return Refused(entry.line, entry.text, error.sentence if error.field == "schedule" else str(error))
    return Taken(entry.line, entry.text, spec, (*entry.notes, *said, *_warnings(when), *_remarks(entry, how, command)))


@lru_cache(maxsize=4096)
def _warnings(when: When) -> tuple[str, ...]:
    # Large crontabs say the same few schedules over and over.
    return tuple(notes(when))


def split_percent(command: str) -> tuple[str, str | None]:
    """The command and its standard input: cron ends the command at the first bare `%` and reads later ones as line ends.

    `\\%` is a percent sign. Input ends with a line end even where none is written; without input it is None.
    """
    text, rest = _until_percent(command)
    if not rest:
        return text, None
    # In the input, unlike in the command, `\\` does not shield what follows it: cron(8) reads it so.
    lines = re.sub(r"\\*%", lambda found: found[0][:-2] + "%" if len(found[0]) > 1 else "\n", rest)
    return text, lines if lines.endswith("\n") else lines + "\n"


def _until_percent(command: str) -> tuple[str, str]:
    if "%" not in command:
        return command, ""
    match = re.match(r"(?:[^\\%]|\\.|\\$)*", command, re.DOTALL)
    end = match.end() if match else 0
    text = re.sub(r"\\(.)", lambda found: "%" if found[1] == "%" else found[0], command[:end], flags=re.DOTALL)
    return text, command[end + 1 :]


def _arguments(entry: Entry, how: Taking, command: str, stdin: str | None) -> dict[str, Any]:
    """The arguments of commands.run: the shell that cron would start, with the variables above the line."""
    shell = entry.env.get("SHELL") or "/bin/sh"
    if shell == "/bin/sh":
        arguments: dict[str, Any] = {"argv": command, "shell": True}
    else:
        arguments = {"argv": [shell, "-c", command]}
    # cron sets LOGNAME itself, whatever the crontab says.
    env = {name: value for name, value in entry.env.items() if name != "LOGNAME"}
    given = {"env": env, "stdin": stdin, "cwd": entry.env.get("HOME") or how.cwd}
    return arguments | {name: value for name, value in given.items() if value}


def _delay(env: Mapping[str, str]) -> float:
    """Seconds of cronie's RANDOM_DELAY, which counts minutes."""
    minutes = env.get("RANDOM_DELAY", "").strip()
    return int(minutes) * 60.0 if re.fullmatch(r"[0-9]{1,4}", minutes) else 0.0


def _policies(entry: Entry, how: Taking) -> dict[str, Any]:
    user = (entry.user or "").partition(":")[0].partition("/")[0]
    mail = entry.env.get("MAILTO", "").strip()
    known = {"crontab": how.source, "user": user, "mailto": mail}
    pool = how.pool.replace(USER_HERE, user or how.worker_user)
    shown = entry.text if len(entry.text) <= 500 else entry.text[:499] + "…"
    return {
        "pool": pool,
        "owner": (mail or user)[:150],
        "labels": {name: value for name, value in known.items() if value},
        "description": f"Imported from a crontab: {shown}",
    }


def _remarks(entry: Entry, how: Taking, command: str) -> Iterator[str]:
    """What cron does and a worker does not, for this entry."""
    user = (entry.user or "").partition(":")[0].partition("/")[0]
    if user and user != how.worker_user:
        yield _other_user(user, how)
    if entry.env.get("MAILTO"):
        yield f"No mail is sent: MAILTO={entry.env['MAILTO']} is kept as the job's owner and label; output is kept with each run."
    if entry.env.get("RANDOM_DELAY"):
        yield f"RANDOM_DELAY={entry.env['RANDOM_DELAY']} (minutes) became jitter: a delay by the job's name, always the same."
    if command.rstrip().endswith("&") and not command.rstrip().endswith("&&"):
        yield "The command goes to the background ('&'): cron leaves it running, a worker ends it with the run. Drop the '&'."
    if command.endswith("\\"):
        yield "The line ends with '\\', but cron joins no lines: the next line is read on its own."
    secrets = ", ".join(name for name in entry.env if SECRET.search(name))
    if secrets:
        yield f"{secrets} would be readable in the admin as an argument; better set it in the worker's environment."


def _other_user(user: str, how: Taking) -> str:
    if USER_HERE in how.pool:
        return f"cron runs this as {user!r}: start a worker as {user!r} for the pool {how.pool.replace(USER_HERE, user)!r}."
    return (
        f"cron runs this as {user!r}, a worker runs it as {how.worker_user or 'its own user'!r}. Start a worker as {user!r} for a"
        f" pool of its own and pass --pool NAME (or --pool 'as-{USER_HERE}' for one pool a user), or write sudo -u {user}."
    )

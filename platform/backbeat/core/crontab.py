"""A crontab as data: every line with its number and meaning. What becomes of an entry is decided in `crontab_jobs`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from backbeat.core.crontab_lines import Blank, Comment, Disabled, Entry, Env, Other, Timed, read
from backbeat.core.crontab_style import Style, style_of

Parsed = Blank | Comment | Env | Entry | Disabled | Other

MOST_VARIABLES = 256
"""Distinct variables of one crontab; cron has such a limit too, and each entry carries all of them."""


@dataclass(frozen=True, slots=True)
class Crontab:
    """A whole crontab. `notes` are about the file, not about one line."""

    style: Style
    lines: tuple[Parsed, ...]
    notes: tuple[str, ...] = ()

    def entries(self) -> Iterator[Entry]:
        """The entries that are in force, in the order of the file."""
        return (line for line in self.lines if isinstance(line, Entry))


def parse(text: str, style: Style | None = None) -> Crontab:
    """Every line of a crontab. Never raises: a line that makes no sense is an `Other` with its reason.

    `style` says whether a user name stands before each command (`system`, as in /etc/crontab) or not (`user`);
    None decides by the lines themselves. Only newlines end a line; carriage returns before them are dropped.
    """
    notes = []
    text = text.removeprefix("\ufeff")
    if "\r\n" in text:
        notes.append("Lines end with CR LF; cron would pass the CR to every command. It is dropped here.")
        text = text.replace("\r\n", "\n")
    rows = text.split("\n")
    if rows[-1].strip():
        notes.append("The last line has no newline; cron refuses such a line. It is taken here.")
    found = [read(number, row) for number, row in enumerate(rows if rows[-1] else rows[:-1], start=1)]
    style = style or style_of(found)
    return Crontab(style, tuple(_with_variables(found, style)), tuple(notes))


def _with_variables(found: list[Blank | Comment | Env | Other | Timed], style: Style) -> Iterator[Parsed]:
    variables: Mapping[str, str] = MappingProxyType({})
    for line in found:
        if isinstance(line, Env):
            if len(variables) >= MOST_VARIABLES and line.name not in variables:
                yield Other(line.line, line.text, f"more than {MOST_VARIABLES} variables in one crontab; set it in a script.")
                continue
            variables = MappingProxyType({**variables, line.name: line.value})
        yield _entry(line, style, variables) if isinstance(line, Timed) else line


_GAP = re.compile(r"[ \t]+")
_FLAGS = re.compile(r"-[nqs]+[ \t]+")


def _entry(line: Timed, style: Style, variables: Mapping[str, str]) -> Entry | Disabled | Other:
    user, command = _parted(line.rest) if style == "system" else (None, line.rest)
    if line.disabled:
        return Disabled(line.line, line.text, line.schedule, command, user)
    problem = _incomplete(line, user, command)
    if problem:
        return Other(line.line, line.text, problem)
    flags, notes = _FLAGS.match(command), line.notes
    if flags:
        command = command[flags.end() :]
        notes += (f"The flag {flags[0].strip()} of BSD cron (about mail, log and overlap) is dropped.",)
    return Entry(line.line, line.text, line.schedule, command, user, variables, notes)


def _parted(rest: str) -> tuple[str, str]:
    user, *command = _GAP.split(rest, maxsplit=1)
    return user, command[0] if command else ""


def _incomplete(line: Timed, user: str | None, command: str) -> str:
    if not line.rest.strip():
        return f"no command follows {line.schedule!r}."
    if line.rest.startswith(("*", "?")):
        return "a sixth field stands before the command; cron has five and no seconds, so drop the first or the last."
    if not command.strip():
        return f"only {user!r} follows the schedule: a user and no command? Pass --style user if the file has no user column."
    return ""

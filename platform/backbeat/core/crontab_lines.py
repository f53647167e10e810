"""One line of a crontab: what cron takes it for. Facts from crontab(5) of Debian, cronie, FreeBSD and OpenBSD.

Only the shape is judged here. Whether a schedule names any moment is decided by `core.occurrence.check`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from backbeat.core.cron_fields import MONTHS, WEEKDAYS

LONGEST = 131_071
"""Bytes of a command or variable: Linux passes no longer string to a program."""

MACROS = ("@reboot", "@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly", "@every_minute")


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a crontab. `line` counts from 1; `text` is what stands there, without the blanks around it."""

    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Blank(Line):
    """Nothing but blanks."""


@dataclass(frozen=True, slots=True)
class Comment(Line):
    """A line that opens with '#'."""


@dataclass(frozen=True, slots=True)
class Env(Line):
    """A variable for the entries below it."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Entry(Line):
    """A command and when it is due.

    `schedule` is five fields parted by one blank each, or a macro. `command` is as written, percent signs included.
    `user` is None in a user's own crontab. `env` holds the variables set above the line.
    """

    schedule: str
    command: str
    user: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Disabled(Line):
    """An entry behind '#'."""

    schedule: str
    command: str
    user: str | None = None


@dataclass(frozen=True, slots=True)
class Other(Line):
    """A line that cron would refuse, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Timed(Line):
    """A schedule and what follows it, before anyone has decided whether a user name comes first."""

    schedule: str
    rest: str
    disabled: bool = False
    notes: tuple[str, ...] = ()


_BLANKS = " \t"
_GAP = re.compile(r"[ \t]+")
_EVERY = re.compile(r"@every[ \t]+\S+")
_FIELD = re.compile(r"[0-9A-Za-z*?~,/#-]+")
_WORD = re.compile(r"[A-Za-z]+")
_NAMES = (*MONTHS, *WEEKDAYS)
_UNREADABLE = re.compile("[\ud800-\udfff]")
_LEGEND = "command to be executed"
_PLACEHOLDERS = ("{{", "{%", "%(", "${", "<%", "<?", "@@", "__")
_SPACE = r"[ \t\v\f\r]*"
_ENV = re.compile(rf"""(?:"([^"=]*)"|'([^'=]*)'|([^\s=]+)){_SPACE}={_SPACE}(.*)""", re.DOTALL)


def read(number: int, raw: str) -> Blank | Comment | Env | Other | Timed:
    """What the line is. `raw` has no line end; undecodable bytes are lone surrogates (`surrogateescape`)."""
    text = raw.strip(_BLANKS)
    if not text:
        return Blank(number, text)
    if text.startswith("#"):
        return _commented(number, text)
    unusable = _unusable(text)
    if unusable:
        return Other(number, _shown(text), unusable)
    return _env(number, text) or _timed(number, raw.lstrip(_BLANKS))


def _unusable(text: str) -> str:
    if "\0" in text:
        return "it holds a NUL byte, which ends a command; remove it."
    if not text.isascii() and _UNREADABLE.search(text):
        return "it is not UTF-8; convert the file first, for example: iconv -f latin1 -t utf-8 FILE."
    if len(text) > LONGEST or len(text.encode(errors="replace")) > LONGEST:
        return f"it is longer than {LONGEST} bytes, and Linux passes no longer string to a program; put it into a script."
    return ""


def _shown(text: str) -> str:
    """The text fit to be shown: bytes that are not UTF-8 become question marks."""
    return text if text.isascii() else _UNREADABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def _commented(number: int, text: str) -> Comment | Timed:
    inner = text.lstrip("# \t")
    if _unusable(inner) or _LEGEND in inner:
        return Comment(number, _shown(text))
    found = _timed(number, inner)
    if isinstance(found, Timed) and found.rest and (not inner.startswith("@") or found.schedule in MACROS):
        return Timed(number, text, found.schedule, found.rest, disabled=True)
    return Comment(number, text)


def _env(number: int, text: str) -> Env | Other | None:
    match = _ENV.match(text)
    if not match:
        return None
    name = match[1] or match[2] or match[3] or ""
    value = match[4]
    if not value or value[0] not in "\"'":
        return Env(number, text, name, value.rstrip())
    end = value.find(value[0], 1)
    if end < 0:
        return Other(number, text, f"the quote {value[0]} of {name} is never closed, so cron refuses the line; close it.")
    if value[end + 1 :].strip():
        return Other(number, text, f"text follows the closing quote of {name}, so cron refuses the line; quote the whole value.")
    return Env(number, text, name, value[1:end])


def _timed(number: int, raw: str) -> Timed | Other:
    text, notes = raw, tuple[str, ...]()
    if raw[:1] == "-" and raw[1:2] in tuple("@*0123456789"):
        text, notes = raw[1:], ("The leading '-' (do not log) is dropped: every run is kept in the history.",)
    shown = raw.rstrip(_BLANKS)
    if text.startswith("@"):
        match = _EVERY.match(text)
        schedule = match[0] if match else _GAP.split(text, maxsplit=1)[0]
        return Timed(number, shown, " ".join(schedule.split()), text[len(schedule) :].lstrip(_BLANKS), notes=notes)
    words = _GAP.split(text, maxsplit=5)
    fields = next((at for at, word in enumerate(words[:5]) if not _is_field(word)), min(len(words), 5))
    if fields < 5:
        return Other(number, shown, _not_five(words, fields))
    return Timed(number, shown, " ".join(words[:5]), words[5] if len(words) > 5 else "", notes=notes)


def _is_field(word: str) -> bool:
    """Whether a word could be a schedule's field: signs and digits, and no letters but names, H, L and W."""
    if not _FIELD.fullmatch(word):
        return False
    letters = [run.lower() for run in _WORD.findall(word)]
    if not letters:
        return any(sign in word for sign in "0123456789*?~")
    return all(run[:3] in _NAMES or run in ("h", "l", "w", "lw") for run in letters)


def _not_five(words: list[str], fields: int) -> str:
    odd = words[fields] if fields < len(words) else ""
    if words[0] == "export":
        return "cron knows no 'export'; write NAME=value."
    if any(mark in odd for mark in _PLACEHOLDERS):
        return f"{odd!r} looks like a template's placeholder; fill in the template first."
    if fields == 0:
        return "expected a comment, NAME=value, or five schedule fields (or a macro such as @daily) and a command."
    if fields == 2 and len(words) > 3 and words[0].isdigit() and words[1].isdigit():
        return "this looks like anacrontab (period, delay, name, command); write it with five schedule fields."
    where = f"field {fields + 1} is {odd!r}" if odd else f"only {fields} came"
    return f"expected five schedule fields and a command; {where}."

"""A readable job name for a shell command: `cd /srv && nice -n 19 python3 backup_db.py` gives `backup-db`.

A best guess that never fails. It is a pure function of the command, so the same crontab gives the same names again.
"""

from __future__ import annotations

import re

LONGEST = 60
_LOOKED_AT = 4000  # characters: a longer command has said by then what it is

_TOKEN = re.compile(r"""(?:"[^"]*"|'[^']*'|[^\s;&|()<>{}"'])+|[;&|()<>{}\n]+|["']""")
_SUBSTITUTED = re.compile(r"\$\([^()]*\)|`[^`]*`")
_SEPARATOR = re.compile(r"[;&|()<>{}\n]+")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_.:-]{0,30}")
_EXTENSION = re.compile(r"\.(sh|bash|py|pyc|pl|php|php\d|rb|js|mjs|jar|cgi|exe|ksh|tcl|r|lua)$", re.IGNORECASE)
_URL = re.compile(r"https?://(?:[^/@]*@)?([^/:?#]+)")

_KEYWORDS = frozenset(("if", "then", "else", "elif", "while", "until", "do", "!", "fi", "done", "esac", "\\!"))
# Commands that prepare or guard: the one after them says what the line is for.
_PREPARES = frozenset(("cd", "test", "[", "[[", "source", ".", "export", "set", "umask", "ulimit", "for", ":", "true", "sleep"))
_PREPARES |= {"grep", "egrep", "pgrep", "which", "type", "echo", "printf", "mkdir", "date"}
_RUNS_SCRIPT = re.compile(r"(ba|da|z|k)?sh|python[\d.]*|pypy\d?|perl[\d.]*|ruby[\d.]*|php[\d.]*|node|java|Rscript|lua|tclsh")
# What may stand before the real command: the options that take a value, and how many words come before the command.
_WRAPPERS = {
    "sudo": ("ugpChDrtT", 0), "doas": ("uC", 0), "nice": ("n", 0), "ionice": ("cnp", 0), "env": ("uCS", 0), "nohup": ("", 0),
    "flock": ("wEo", 1), "lockf": ("t", 1), "setlock": ("", 1), "timeout": ("ks", 1), "chronic": ("", 0), "exec": ("a", 0),
    "time": ("fo", 0), "run-one": ("", 0), "setsid": ("", 0), "stdbuf": ("ioe", 0), "command": ("", 0), "taskset": ("", 1),
    "chrt": ("", 1), "systemd-cat": ("tpP", 0), "runuser": ("u", 0), "cron_wrapper": ("", 0), "cronic": ("", 0),
    "run-with-lockfile": ("", 1), "eval": ("", 0), "bundle-exec": ("", 0), "xvfb-run": ("nsef", 0), "envdir": ("", 1),
}  # fmt: skip


def name_of(command: str) -> str:
    """Lower-case letters, digits and '-', 1 to 60 characters; `command` when nothing readable stands there."""
    return _named(command[:_LOOKED_AT], depth=3) or "command"


def _named(command: str, depth: int) -> str:
    parts = [part for part in (_unwrapped(words) for words in _simple_commands(_SUBSTITUTED.sub("$_", command))) if part]
    chosen = next((part for part in parts if not _prepares(part)), parts[-1] if parts else [])
    return _label(chosen, depth) if chosen else ""


def _prepares(words: list[str]) -> bool:
    waits = len(words) > 2 and words[1] in ("-e", "-c") and "sleep" in words[2]
    return waits or _stem(words[0]) in _PREPARES


def _simple_commands(command: str) -> list[list[str]]:
    found: list[list[str]] = [[]]
    redirected = False
    for token in _TOKEN.findall(command):
        if not _SEPARATOR.match(token):
            if not redirected:
                found[-1].append(token)
            redirected = False
        elif "<" in token or ">" in token:
            redirected = True
        else:
            found.append([])
    return found


def _unwrapped(words: list[str]) -> list[str]:
    """The words from the program on: without assignments and wrappers such as `sudo -u x` or `timeout 5m`."""
    while words:
        if _ASSIGNMENT.match(words[0]) or words[0] in _KEYWORDS:
            words = words[1:]
        elif _stem(words[0]) in _WRAPPERS:
            words = _after_wrapper(words[1:], *_WRAPPERS[_stem(words[0])])
        else:
            break
    return words


def _after_wrapper(words: list[str], with_value: str, positional: int) -> list[str]:
    while words and words[0].startswith("-") and words[0] != "-c":
        takes_next = len(words[0]) == 2 and words[0][1] in with_value
        words = words[2:] if takes_next else words[1:]
    words = words[positional:]
    return words[1:] if words[:1] == ["--"] else words


def _label(words: list[str], depth: int) -> str:
    program, arguments = _stem(words[0]), words[1:]
    if program in ("su", "-c") and "-c" in words[:-1] and depth:
        return _named(words[words.index("-c") + 1].strip("\"'"), depth - 1) or program.strip("-")
    if _RUNS_SCRIPT.fullmatch(program):
        return _script(program, arguments, depth)
    if program == "run-parts":
        folder = next((word for word in arguments if not word.startswith("-")), "")
        return _slug(f"{program} {_stem(folder)}")
    url = next((match for match in map(_URL.match, (word.strip("\"'") for word in arguments)) if match), None)
    if url and program in ("curl", "wget"):
        return _slug(f"{program} {url[1]}")  # not the path: it often holds a secret
    return _slug(f"{program} {_argument(arguments)}")


def _script(program: str, arguments: list[str], depth: int) -> str:
    """What an interpreter is told to run: a module, a text after -c, or a file."""
    for at, word in enumerate(arguments):
        following = arguments[at + 1 :]
        if word in ("-m", "-jar") and following:
            return _slug(f"{_stem(following[0])} {_argument(following[1:])}")
        if re.fullmatch(r"-[a-z]*c", word) and following and depth and program.endswith("sh"):
            return _named(following[0].strip("\"'"), depth - 1) or _slug(program)
        if not word.startswith("-"):
            return _slug(f"{_stem(word)} {_argument(following)}")
    return _slug(program)


def _argument(arguments: list[str]) -> str:
    """The first argument when it reads like a subcommand (`git pull`), else nothing."""
    first = arguments[0] if arguments else ""
    return first if _PLAIN.fullmatch(first) else ""


def _stem(word: str) -> str:
    """`/usr/local/bin/backup.sh` gives `backup`."""
    bare = word.strip("\"'").rstrip("/")
    return _EXTENSION.sub("", bare.rsplit("/", 1)[-1]).removeprefix("cron.").strip()


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:LONGEST].rstrip("-")

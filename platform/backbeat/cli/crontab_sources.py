"""Where crontabs are read from: files, standard input, `crontab -l`, /etc/crontab and /etc/cron.d."""

from __future__ import annotations

import getpass
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from backbeat.cli.import_report import Unread
from backbeat.core.crontab_style import Style

_CRON_D_NAME = re.compile(r"[A-Za-z0-9_-]+")
_PERIODIC = ("hourly", "daily", "weekly", "monthly", "yearly")


class NoCrontab(click.ClickException):
    """There is no crontab where one was looked for."""

    exit_code = 3


@dataclass(frozen=True, slots=True)
class Source:
    """One crontab's text. `style` is None where only the text can tell; `cwd` is where cron starts its commands."""

    name: str
    text: str
    style: Style | None = None
    cwd: str | None = None


def of_files(names: tuple[str, ...]) -> Iterator[Source | Unread]:
    """Each file; `-` is standard input; a folder is read as cron reads /etc/cron.d."""
    for name in names:
        if name == "-":
            yield Source("standard input", _decoded(sys.stdin.buffer.read()))
        elif Path(name).is_dir():
            yield from _of_folder(Path(name))
        else:
            yield _of_file(Path(name))


def of_user() -> Source:
    """This user's own crontab, from `crontab -l`. Raises NoCrontab."""
    program = shutil.which("crontab")
    if program is None:
        raise NoCrontab("there is no program 'crontab' on PATH; pass the crontab's file instead, or pipe it to `-`.")
    listed = subprocess.run([program, "-l"], capture_output=True, check=False)  # noqa: S603 - cron's own program, no input
    if listed.returncode:
        said = _decoded(listed.stderr).strip() or f"it ended with exit code {listed.returncode}"
        raise NoCrontab(f"`crontab -l` shows no crontab: {said}.")
    return Source("crontab -l", _decoded(listed.stdout), "user", str(Path.home()))


def of_system(root: Path) -> Iterator[Source | Unread]:
    """/etc/crontab and /etc/cron.d below `root`, and what cron runs by other ways. Raises NoCrontab when neither is there."""
    table, folder = root / "etc/crontab", root / "etc/cron.d"
    if not table.exists() and not folder.is_dir():
        raise NoCrontab(f"neither {table} nor {folder} exists.")
    if table.exists():
        yield _of_file(table)
    if folder.is_dir():
        yield from _of_folder(folder)
    yield from _periodic(root)


def system_zone(root: Path = Path("/")) -> str:
    """The zone of the machine whose file system is `root`, as its C library sees it; UTC when it names none."""
    link = root / "etc/localtime"
    if link.is_symlink():
        _, found, zone = str(link.readlink()).partition("zoneinfo/")
        if found:
            return zone.removeprefix("posix/").removeprefix("right/")
    named = root / "etc/timezone"
    return named.read_text().strip() or "UTC" if link.exists() and named.is_file() else "UTC"


def this_user() -> str:
    """Who this process runs as."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in some containers
        return str(os.geteuid())


def _of_file(path: Path) -> Source:
    try:
        text = _decoded(path.read_bytes())
    except OSError as error:
        raise NoCrontab(f"{path}: {error.strerror or error}.") from error
    return Source(str(path), text, _style_of_path(path.absolute()))


def _style_of_path(path: Path) -> Style | None:
    """What the place of a file says; None when it says nothing."""
    if path.parent.name == "cron.d" or path.parts[-2:] == ("etc", "crontab"):
        return "system"
    spooled = {"/".join(path.parts[at : at + 2]) for at in range(len(path.parts))}
    return "user" if spooled & {"spool/cron", "cron/tabs"} else None


def _of_folder(folder: Path) -> Iterator[Source | Unread]:
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            yield Unread(str(path), "it is a folder.")
        elif _CRON_D_NAME.fullmatch(path.name):
            yield Source(str(path), _of_file(path).text, "system")
        elif path.name != ".placeholder":
            yield Unread(
                str(path),
                "Debian's cron ignores names with other than letters, digits, '_' and '-'. Name the file if yours does not.",
            )


def _periodic(root: Path) -> Iterator[Unread]:
    for period in _PERIODIC:
        folder = root / f"etc/cron.{period}"
        scripts = [path.name for path in folder.iterdir() if path.name != ".placeholder"] if folder.is_dir() else []
        if scripts:
            run_by = "a run-parts line of /etc/crontab, by anacron or by a systemd timer"
            why = f"its scripts ({', '.join(sorted(scripts))}) are run by {run_by}."
            yield Unread(str(folder), why)
    if (root / "etc/anacrontab").exists():
        yield Unread(str(root / "etc/anacrontab"), "anacrontab has another format: periods of days, without times.")


def _decoded(raw: bytes) -> str:
    """Text in which bytes that are not UTF-8 are lone surrogates, so that the parser can name their lines."""
    return raw.decode("utf-8", errors="surrogateescape")

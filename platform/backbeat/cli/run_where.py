"""Choosing runs: by id, or by `--where 'state:failed job:reports.daily'`. Words are those of the admin's search."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import click

from backbeat.core.keys import owner_of
from backbeat.core.state import RunState
from backbeat.errors import DefinitionError, nearest
from backbeat.store.unfinished import Unfinished

WORDS = ("state", "job", "pool", "queue", "worker", "error", "dag")
MOST = 1000
"""At most so many runs are changed by one command."""


@dataclass(frozen=True, slots=True)
class Where:
    """A search: pairs of a word and its value; the word "" stands for the beginning of an id."""

    pairs: tuple[tuple[str, str], ...]

    @property
    def text(self) -> str:
        """The search as the admin's pages take it."""
        return " ".join(f"{word}:{value}" if word else value for word, value in self.pairs)

    def value(self, word: str) -> str | None:
        """What was asked for under this word."""
        return next((value for found, value in self.pairs if found == word), None)

    def takes(self, run: Unfinished) -> bool:
        """Whether an unfinished run is one of those."""
        return all(_FITS[word](run, value) for word, value in self.pairs)


def where(text: str) -> Where:
    """Read a search. Raises DefinitionError for a word or state that there is not, with the nearest one."""
    return Where(tuple(_pair(word) for word in text.split()))


def _pair(word: str) -> tuple[str, str]:
    name, colon, value = word.partition(":")
    if not colon or (name not in WORDS and not nearest(name, WORDS)):
        return "", word
    if name not in WORDS:
        raise DefinitionError("--where", f"expected one of {', '.join(WORDS)}; got {name!r}.{nearest(name, WORDS)}")
    if name == "state" and value not in set(RunState):
        raise DefinitionError("--where", f"no run is ever {value!r}.{nearest(value, map(str, RunState))}")
    return name, value


_FITS: dict[str, Callable[[Unfinished, str], bool]] = {
    "": lambda run, value: run.run_id.startswith(value),
    "state": lambda run, value: run.state == value,
    "job": lambda run, value: run.fields.get("j", owner_of(run.run_id)) == value,
    "pool": lambda run, value: run.fields.get("q", "").rpartition(".p")[0] == value,
    "queue": lambda run, value: run.fields.get("q") == value,
    "worker": lambda run, value: run.fields.get("w") == value,
    # Only what is over has an error to search for.
    "error": lambda _run, _value: False,
    "dag": lambda run, value: run.fields.get("d", "").startswith(value),
}


def chosen(ids: Sequence[str], text: str | None, *, sure: bool, dry: bool, verb: str) -> list[str]:
    """The runs that a command is about: the ids given, or those that a search finds once the operator agrees to their number.

    Raises DefinitionError when it is not clear which runs are meant.
    """
    if bool(ids) == (text is not None):
        raise DefinitionError("ID", "expected run ids or --where, one of the two.")
    if text is None:
        return list(ids)
    from backbeat.cli.run_facts import rows

    found = [row["run"] for row in rows(where(text), MOST + 1)]
    if len(found) > MOST:
        raise DefinitionError("--where", f"finds more than {MOST} runs; narrow it, or repeat the command for what is left.")
    if found and not sure and not dry:
        if not sys.stdin.isatty():
            raise DefinitionError("--where", f"finds {len(found)} runs; add --yes to {verb} them all, or --dry-run to see them.")
        click.confirm(f"{verb} {len(found)} runs?", abort=True, err=True)
    return found

"""A gate, and the words for moments that all gates use."""

from __future__ import annotations

from dataclasses import dataclass

from backbeat.core.duration import words
from backbeat.core.when import iso


@dataclass(frozen=True, slots=True)
class Gate:
    """One condition on the way to a started run. `remedy` says what to do about one that is shut, if anything."""

    name: str
    passed: bool
    code: str
    """What was found, in a word that stays; `ok` when the gate is open."""
    sentence: str
    remedy: str = ""


def opened(name: str, sentence: str) -> Gate:
    """A gate that lets through."""
    return Gate(name, passed=True, code="ok", sentence=sentence)


def shut(name: str, code: str, sentence: str, remedy: str = "") -> Gate:
    """A gate that does not."""
    return Gate(name, passed=False, code=str(code), sentence=sentence, remedy=remedy)


def first_line(text: str, most: int) -> str:
    """The beginning of a message, fit for a sentence: without its last full stop."""
    lines = text.strip().splitlines()
    return lines[0][:most].rstrip(". ") if lines else ""


def ago(now: int, moment: int) -> str:
    """A moment with its distance: `2026-11-23T02:00:00Z (4m12s ago)`, `… (in 3h)`."""
    distance = abs(now - moment)
    length = words(distance // 1000) if distance >= 1000 else "a moment"
    return f"{iso(moment)} (in {length})" if moment > now else f"{iso(moment)} ({length} ago)"

"""A DAG run as lines of text: each node with its state, and a bar that parts waiting in a queue from work."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from backbeat.core.duration import words
from backbeat.core.state import TERMINAL, RunState

QUEUED, WORKING, AGAIN = "·", "█", "▒"
_MARKS = {
    RunState.SUCCEEDED: "✓", RunState.FAILED: "✗", RunState.TIMED_OUT: "✗", RunState.CANCELLED: "∅", RunState.SKIPPED: "-",
    RunState.UPSTREAM_FAILED: "↑", RunState.RUNNING: "▶", RunState.QUEUED: "…", RunState.QUARANTINED: "☣",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Bar:
    """One node of a run. Times are epoch ms; None is not yet, or never."""

    node: str
    state: RunState
    queued: int | None = None
    started: int | None = None
    """Start of the first attempt."""
    finished: int | None = None
    attempts: int = 1
    worked: int = 0
    """Ms of work in the attempts that have ended."""
    last_started: int | None = None
    """Start of the newest attempt."""


@dataclass(frozen=True, slots=True)
class Split:
    """Where a node's time went, in ms, from the start of its DAG run to its own end, or to now. The parts add up."""

    waiting: int
    """For its parents."""
    queued: int
    """For a worker, before its first attempt."""
    running: int
    """In all attempts together."""
    retry: int
    """Between attempts."""


def split(bar: Bar, begun: int, now: int) -> Split:
    """The parts of a node's time."""
    over = bar.state in TERMINAL and bar.finished is not None
    end = bar.finished if over and bar.finished is not None else now
    queued = min(end, max(begun, bar.queued if bar.queued is not None else end))
    started = min(end, max(queued, bar.started if bar.started is not None else end))
    running = bar.worked
    if bar.state is RunState.RUNNING and bar.last_started is not None:
        running += now - bar.last_started
    running = max(0, min(running, end - started))
    return Split(max(0, queued - begun), started - queued, running, end - started - running)


def ordered(bars: Iterable[Bar], levels: Mapping[str, int]) -> list[Bar]:
    """By level of the graph, then by when they were queued; items of a mapped node stand behind it."""

    def place(bar: Bar) -> tuple[int, str, int, int, str]:
        name, _, item = bar.node.partition("[")
        return (
            levels.get(name, 0),
            name if item else "",
            bar.queued or 1 << 62,
            int(item.rstrip("]") or 0) if item else -1,
            bar.node,
        )

    return sorted(bars, key=place)


def lines(bars: Sequence[Bar], now: int, width: int = 100) -> list[str]:
    """One line a node, no wider than `width` where names allow it."""
    if not bars:
        return []
    start = min((bar.queued for bar in bars if bar.queued is not None), default=now)
    end = max([bar.finished for bar in bars if bar.finished is not None] + [now if _goes_on(bars) else start + 1])
    label = min(40, max(len(bar.node) for bar in bars))
    room = max(10, width - label - 14)
    return [
        f"{_MARKS.get(bar.state, '.')} {bar.node[:label].ljust(label)} {_took(bar, now):>9} {_bar(bar, start, end, now, room)}"
        for bar in bars
    ]


def _goes_on(bars: Sequence[Bar]) -> bool:
    return any(bar.state not in TERMINAL and bar.state is not RunState.QUARANTINED for bar in bars)


def _bar(bar: Bar, start: int, end: int, now: int, room: int) -> str:
    if bar.queued is None:
        return ""
    over = bar.state in TERMINAL
    begun = bar.started if bar.started is not None else (bar.finished if over and bar.finished else now)
    ended = bar.finished if over and bar.finished else now
    cells = [round(room * (moment - start) / max(1, end - start)) for moment in (bar.queued, begun, ended)]
    working = (AGAIN if bar.attempts > 1 else WORKING) * max(cells[2] - cells[1], 1 if bar.started is not None else 0)
    return (" " * cells[0] + QUEUED * (cells[1] - cells[0]) + working).rstrip()


def _took(bar: Bar, now: int) -> str:
    if bar.started is None:
        return str(bar.state) if bar.state in TERMINAL and bar.queued is None else ""
    length = ((bar.finished if bar.finished and bar.state in TERMINAL else now) - bar.started) / 1000
    return words(round(length) if length >= 100 else round(length, 1 if length >= 10 else 3))

"""What a schedule will do next, its calendar included. Shown wherever somebody asks; computed as the scheduler decides."""

from __future__ import annotations

from dataclasses import dataclass

from backbeat.core.calendar import Fate, Mode
from backbeat.core.entry import Timing
from backbeat.core.when import from_ms
from backbeat.core.zone import load

_LOOKS = 200
_TOLD = 3


@dataclass(frozen=True, slots=True)
class Outlook:
    """Nominal times (epoch ms): those at which it fires, and those among them that its calendar closes, as far as looked."""

    fires: tuple[int, ...]
    closed: tuple[int, ...] = ()


def outlook(timing: Timing, after: int, count: int) -> Outlook:
    """The next `count` fires after a moment. Raises DefinitionError when the timing's calendar is not known."""
    fires: list[int] = []
    moment: int | None = after
    while moment is not None and len(fires) < count:
        moment = timing.fires_after(moment)
        if moment is not None:
            timing.fate(moment)
            fires.append(moment)
    closed = _closed(timing, after, fires[-1] if fires else None) if timing.days else ()
    return Outlook(tuple(fires), closed)


def sentence(timing: Timing, closed: tuple[int, ...]) -> str:
    """What the calendar does to these times, in words; nothing when there are none."""
    if not closed or timing.days is None:
        return ""
    zone = load(timing.days.tz)
    days = list(dict.fromkeys(f"{from_ms(moment).astimezone(zone):%a %Y-%m-%d}" for moment in closed))
    told = ", ".join(days[:_TOLD]) + (" and more" if len(days) > _TOLD else "")
    done = "moves to the next open day" if timing.mode == Mode.SHIFT else "leaves out"
    return f"Calendar {timing.calendar!r} {done}: {told}."


def _closed(timing: Timing, after: int, until: int | None) -> tuple[int, ...]:
    closed: list[int] = []
    moment = timing.next(after)
    for _ in range(_LOOKS):
        if moment is None or (until is not None and moment > until):
            break
        if timing.fate(moment) is not Fate.FIRES:
            closed.append(moment)
        moment = timing.next(moment)
    return tuple(closed)

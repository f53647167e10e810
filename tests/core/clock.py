"""Wall-clock times for tests of time: written as people read them, in the zone where they happen."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from backbeat.core.occurrence import upcoming
from backbeat.core.when import Cron, from_ms, to_ms


def at(text: str, tz: str = "UTC") -> int:
    """Epoch ms of a local time; of the two showings of an hour, the first."""
    return to_ms(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(tz)))


def shown(ms: int, tz: str = "UTC") -> str:
    """`2026-03-29 03:00:00+02:00`."""
    return from_ms(ms).astimezone(ZoneInfo(tz)).isoformat(sep=" ")


def times(cron: Cron, after: str, n: int) -> list[str]:
    """The next n times as `29 03:00+02`: day, time and offset."""
    moments = (from_ms(ms).astimezone(ZoneInfo(cron.tz)) for ms in upcoming(cron, at(after, cron.tz), n))
    return [f"{moment:%d %H:%M}{moment.isoformat()[-6:]}".removesuffix(":00") for moment in moments]

"""When a crontab's entry is due, in our words. Nothing is judged: `core.occurrence.check` does that to what comes out."""

from __future__ import annotations

import re

from backbeat.core.crontab_lines import Entry
from backbeat.core.when import Cron, Every, When
from backbeat.errors import BadSchedule

REBOOT = (
    "@reboot names no moment: a job here belongs to no machine whose start could fire it. Keep the line in cron, make it"
    " a systemd unit (WantedBy=multi-user.target), or give it a time, for example @hourly."
)


def when_of(entry: Entry, tz: str, hash_key: str) -> tuple[When, tuple[str, ...]]:
    """The schedule of an entry, and what a reader should know of it. `tz` holds where no CRON_TZ stands above.

    `hash_key` decides what a random `~` range becomes: the same key, the same moments. Raises BadSchedule.
    """
    text = entry.schedule
    if text == "@reboot":
        raise BadSchedule("schedule", REBOOT)
    interval = _interval(text)
    if interval is not None:
        return interval
    zone, said = _zone(entry, tz)
    if text == "@every_minute":
        return Cron("* * * * *", zone), said
    if "~" in text:
        drawn = "Random '~' range: cron draws a value at every start; here the job's name decides it, once and for all."
        return Cron(text, zone, hash_key=hash_key), (*said, drawn)
    return Cron(text, zone), said


def _interval(text: str) -> tuple[When, tuple[str, ...]] | None:
    """FreeBSD's `@300` (seconds) and `@every_second`, and `@every 5m` of the Go crons."""
    if text == "@every_second":
        return Every("1s"), ()
    if re.fullmatch(r"@[0-9]{1,9}", text):
        note = "cron counts these seconds from the end of one run to the next; here they are counted from fixed moments."
        return Every(int(text[1:])), (note,)
    if text.startswith("@every "):
        return Every(text.removeprefix("@every ")), ()
    return None


def _zone(entry: Entry, tz: str) -> tuple[str, tuple[str, ...]]:
    zone = entry.env.get("CRON_TZ", "").strip().removeprefix(":")
    if zone:
        return zone, ()
    if entry.env.get("TZ"):
        note = (
            f"TZ={entry.env['TZ']} is handed to the command and does not move the schedule, which stays in {tz}, as in"
            " Debian's cron and cronie; if your cron meant the schedule too, write CRON_TZ."
        )
        return tz, (note,)
    return tz, ()

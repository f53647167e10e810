"""What a person should know before they save a schedule: warnings, each a sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from backbeat.core.cron import Rule, parse
from backbeat.core.describe import day_words, weekday_words
from backbeat.core.dialect import SECONDS_LAST, dialect_of
from backbeat.core.when import Cron, When
from backbeat.core.zone import changes, load, offset_at

YEAR = 365 * 86_400
_EQUAL = re.compile(r"(?<![\w-])(\w+)-\1(?![\w-])", re.ASCII)


def notes(when: When, now_ms: int | None = None) -> list[str]:
    """Warnings about a schedule; clock changes within a year of `now_ms` when that is given. Raises BadSchedule."""
    if not isinstance(when, Cron):
        return []
    rule, zone = parse(when)
    changing = [] if now_ms is None else list(_clock_changes(when, rule, zone, now_ms // 1000))
    return [*_about_days(when, rule), *_about_text(when), *_about_times(rule), *changing]


def _about_days(when: Cron, rule: Rule) -> Iterator[str]:
    by_day, by_weekday = day_words(rule.days), weekday_words(rule.days)
    if by_day and by_weekday and rule.days.either:
        yield f"Day of month and weekday: either is enough. It fires on {by_day} and also on {by_weekday}."
    elif by_day and by_weekday:
        why = (
            ", because one of the fields starts with *"
            if dialect_of(when.dialect).days == "debian" and when.days == "dialect"
            else ""
        )
        yield f"Day of month and weekday: both must match{why}. It fires on {by_day} only when that is {by_weekday}."
    if rule.days.days and min(rule.days.days) > 28 and not rule.days.month_days and not rule.days.either:
        yield "It does not fire in a month without such a day; L is the last day of every month."


def _about_text(when: Cron) -> Iterator[str]:
    text, dialect = when.expr.lower(), dialect_of(when.dialect)
    if not dialect.faithful and (found := _EQUAL.search(text)):
        yield f"{found[0]} is read as {found[1]} alone; some libraries, croniter among them, take it for every value."
    if dialect.name == "vixie" and len(text.split()) == len(SECONDS_LAST):
        yield "The sixth field is seconds, as in croniter; the dialects 'spring' and 'quartz' have them first."
    if not when.hash_key and re.search(r"\bh\b|~", text):
        yield "H without a hash key falls on the same moment for every schedule; the schedule's id makes a good key."


def _about_times(rule: Rule) -> Iterator[str]:
    if len(rule.minutes) == 60 and len(rule.hours) < 24:
        yield "It fires every minute of the hours named; write minute 0 to fire once in each."


def _clock_changes(when: Cron, rule: Rule, zone: str, now: int) -> Iterator[str]:
    offset = offset_at(load(zone), now)
    for moment, new in changes(zone, now, now + YEAR):
        before, after = moment + offset, moment + new
        offset = new
        touched = list(rule.walls(min(before, after), max(before, after)))
        if touched:
            span = f"{_shown(min(before, after))} to {_shown(max(before, after), '%H:%M')}"
            yield _gap(when, rule, zone, span, after) if after > before else _fold(when, rule, zone, span)


def _gap(when: Cron, rule: Rule, zone: str, span: str, end: int) -> str:
    skips = rule.elapsing or when.gap == "skip"
    what = "what falls into it is left out" if skips else f"what falls into it fires once, at {_shown(end, '%H:%M')}"
    return f"Clocks in {zone} skip {span}: {what}."


def _fold(when: Cron, rule: Rule, zone: str, span: str) -> str:
    times = (
        "both times"
        if rule.elapsing
        else {"first": "the first time only", "last": "the last time only"}.get(when.fold, "both times")
    )
    return f"Clocks in {zone} show {span} twice: it fires {times}."


def _shown(wall: int, form: str = "%Y-%m-%d %H:%M") -> str:
    return datetime.fromtimestamp(wall, UTC).strftime(form)


def spread(expr: str) -> str | None:
    """The same rhythm with its minute hashed, so that not everything starts on the hour; None when there is none to gain."""
    minute, _, rest = expr.partition(" ")
    if not rest or "H" in expr.upper() or expr.startswith("@"):
        return None
    if minute in ("*", "*/1") or minute.isdecimal():
        return f"H {rest}"
    if minute.startswith("*/"):
        return f"H{minute[1:]} {rest}"
    parts = minute.split(",")
    if parts[0] == "0" and len(parts) > 1 and parts[1].isdecimal():
        return f"H/{parts[1]} {rest}"
    return None

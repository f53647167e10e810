"""What the code says of a job, what an operator says instead, and the words for both."""

from __future__ import annotations

from typing import Any

from django.utils.html import format_html
from django.utils.safestring import SafeString

from backbeat.admin.models import Job
from backbeat.admin.pages.badges import chip
from backbeat.admin.rows import OWNABLE
from backbeat.admin.writing import current_values
from backbeat.core import occurrence
from backbeat.core.duration import words
from backbeat.core.size import size_words
from backbeat.core.when import from_text
from backbeat.errors import DefinitionError

_LENGTHS = {"timeout", "soft_timeout", "start_deadline", "misfire_window"}


def in_words(name: str, value: Any) -> str:
    """A field's value as a person would say it."""
    if value in (None, "", [], {}):
        return "nothing"
    if name in _LENGTHS:
        return words(value)
    if name == "memory":
        return size_words(value)
    if name == "retry":
        return (
            f"{value['max']} times, {value['backoff']}, {words(value['delay'])} to {words(value['cap'])}"
            if value["max"]
            else "never"
        )
    if name == "schedules":
        return " ".join(map(_schedule_in_words, value))
    if name == "labels":
        return ", ".join(f"{label}={text}" for label, text in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _schedule_in_words(schedule: dict[str, Any]) -> str:
    try:
        sentence = occurrence.describe(from_text(schedule["when"]))
    except DefinitionError:
        sentence = schedule["when"]
    key = f"{schedule['key']}: " if schedule["key"] else ""
    return f"{key}{sentence}"


def overrides(job: Job) -> list[dict[str, str]]:
    """One row for each overridden field: its name, what the code says, what holds."""
    code, now = job.code or {}, current_values(job)
    return [
        {"name": name, "label": name.replace("_", " "), "code": in_words(name, code.get(name)), "now": in_words(name, now[name])}
        for name in OWNABLE
        if name in job.overridden
    ]


def mark(job: Job, name: str) -> SafeString:
    """The chip beside a field of a job that the code defines: whose value it is, with the reset where it is the operator's."""
    if job.code is None or name not in OWNABLE:
        return SafeString("")
    if name not in job.overridden:
        hint = f"As {job.place or 'the code'} says; what you change here is kept over deploys."
        return format_html('<span class="bb-own" title="{}">from code</span>', hint)
    return format_html(
        '{} <button type="submit" class="bb-reset" name="_reset" value="{}" formnovalidate>reset</button>',
        chip(f"overridden (code says {in_words(name, job.code.get(name))})", "overridden"),
        name,
    )

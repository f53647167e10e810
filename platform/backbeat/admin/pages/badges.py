"""How states look: a colour class (see backbeat.css) and a sign, so that colour is never the only difference."""

from __future__ import annotations

from django.utils.html import format_html
from django.utils.safestring import SafeString

from backbeat.core.state import RunState

S = RunState

LOOKS: dict[RunState, tuple[str, str]] = {
    S.PENDING: ("idle", "○"),
    S.QUEUED: ("waiting", "◔"),
    S.RUNNING: ("running", "▶"),
    S.RETRYING: ("retrying", "↻"),
    S.LOST: ("lost", "?"),
    S.SUCCEEDED: ("good", "✓"),
    S.FAILED: ("bad", "✗"),
    S.TIMED_OUT: ("bad", "⏱"),
    S.CANCELLED: ("idle", "■"),
    S.QUARANTINED: ("poison", "☣"),
    S.SKIPPED: ("idle", "↷"),
    S.MISSED: ("missed", "∅"),
    S.EXPIRED: ("missed", "⌛"),
    S.UPSTREAM_FAILED: ("missed", "⇡"),
}


def colour_of(state: str) -> str:
    """The colour class of a state; a word that is no state looks idle."""
    return LOOKS[RunState(state)][0] if state in set(RunState) else "idle"


def badge(state: str) -> SafeString:
    """A state as a coloured word."""
    sign = LOOKS[RunState(state)][1] if state in set(RunState) else "·"
    return format_html('<span class="bb-badge bb-{}"><i>{}</i>{}</span>', colour_of(state), sign, state.replace("_", " "))


def chip(text: str, kind: str, hint: str = "") -> SafeString:
    """A small grey or coloured label."""
    return format_html('<span class="bb-chip bb-chip-{}" title="{}">{}</span>', kind, hint, text)

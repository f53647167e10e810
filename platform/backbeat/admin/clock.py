"""The one clock, for whatever decides: Redis' time. What a page only shows may be told by this machine's own."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone

from backbeat.core.when import from_ms
from backbeat.runtime.insist import OUTAGE
from backbeat.store.store import open_store


def now() -> datetime:
    """The time by Redis; this machine's own while Redis is away, for then nothing fires by either."""
    try:
        return from_ms(open_store().slots.now_ms())
    except OUTAGE:
        return timezone.now()

"""Times as people read them, always with their zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

COOKIE = "bb_zone"
"""Set by zone.js to the browser's zone, so that pages can show it without JavaScript the next time."""


def viewer_zone(request: HttpRequest) -> str:
    """The IANA name of the viewer's zone; UTC when the browser did not tell."""
    name = request.GET.get("viewer") or request.COOKIES.get(COOKIE) or "UTC"
    return name if zone_of(name) is not None else "UTC"


def zone_of(name: str) -> ZoneInfo | None:
    """The zone of a name that may come from anybody."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def shown(moment: datetime, zone: str = "UTC") -> str:
    """`Mon 23 Nov 2026 02:30:00 CET`."""
    there = moment.astimezone(zone_of(zone) or UTC)
    fraction = f".{there.microsecond // 1000:03}" if there.microsecond >= 1000 else ""
    name = there.tzname() or ""
    # Zones without letters of their own are named +03; then the place says more.
    name = f"UTC{name}" if name[:1] in "+-" else name
    return f"{there:%a %d %b %Y %H:%M:%S}{fraction} {name}"


def ago(moment: datetime, now: datetime | None = None) -> str:
    """`in 3 h`, `12 min ago`."""
    gap = (moment - (now or timezone.now())).total_seconds()
    length = span(abs(gap))
    return f"in {length}" if gap > 0 else f"{length} ago"


def span(seconds: float | timedelta | None) -> str:
    """A length of time in at most two units: `1.2 s`, `4 min 10 s`, `3 d 4 h`."""
    if seconds is None:
        return ""
    length = seconds.total_seconds() if isinstance(seconds, timedelta) else seconds
    if length < 1:
        return f"{length * 1000:.0f} ms"
    if length < 60:
        return f"{length:.1f} s" if length < 10 else f"{length:.0f} s"
    for size, unit, smaller, small in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if length >= size:
            rest = int(length % size // smaller)
            return f"{int(length // size)} {unit}" + (f" {rest} {small}" if rest else "")
    return ""


def when_html(moment: datetime | None, *, relative: bool = True) -> SafeString:
    """A time element: how long ago, the full UTC time on hover; or the other way round."""
    if moment is None:
        return format_html('<span class="bb-none">{}</span>', "—")
    full, near = shown(moment), ago(moment)
    text, title = (near, full) if relative else (full, near)
    return format_html('<time datetime="{}" title="{}">{}</time>', moment.isoformat(), title, text)

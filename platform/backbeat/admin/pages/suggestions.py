"""The lists from which the inputs of the job form make suggestions."""

from __future__ import annotations

from zoneinfo import available_timezones

from backbeat.admin.models import Job
from backbeat.runtime import registry

PRESETS = [
    ("*/5 * * * *", "every 5 minutes"),
    ("0 * * * *", "hourly"),
    ("0 3 * * *", "daily at 03:00"),
    ("30 8 * * MON-FRI", "working days at 08:30"),
    ("0 6 * * MON", "Mondays at 06:00"),
    ("0 0 1 * *", "on the first of the month"),
    ("0 0 L * *", "on the last day of the month"),
]


def suggestions() -> dict[str, list[tuple[str, str]]]:
    """Pairs of value and explanation, by the name of the list."""
    pools = Job.objects.order_by("pool").values_list("pool", flat=True).distinct()
    return {
        "presets": PRESETS,
        "zones": [(zone, "") for zone in sorted(available_timezones())],
        "pools": [(pool, "") for pool in pools],
        "tasks": [(name, "") for name in sorted(registry.jobs)],
    }

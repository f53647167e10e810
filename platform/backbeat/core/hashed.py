"""What a hashed cron field (`H`, `~`) is hashed from."""

from __future__ import annotations

import re
from dataclasses import replace

from backbeat.core.when import Cron, When

_STANDS_ALONE = re.compile(r"(?<![A-Za-z])[Hh](?![A-Za-z])|~")


def hashed(when: When, schedule_id: str) -> When:
    """The same schedule, hashed from its own id where it has such a field, so that it keeps its place for ever.

    Other schedules are left as they are: those with equal expressions then share their computed times.
    """
    if not isinstance(when, Cron) or when.hash_key:
        return when
    # Jenkins hashes its @ words as well, which show no H.
    wanted = _STANDS_ALONE.search(when.expr) or (when.dialect == "jenkins" and when.expr.strip().startswith("@"))
    return replace(when, hash_key=schedule_id) if wanted else when

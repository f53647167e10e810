"""Entries that come from another scheduler's storage, live: their ids in our index, apart from those of jobs.

`redbeat.` in front keeps the two apart: no job may be named so (core/check.py), and whoever compares the index with
the definitions (the sweeper) leaves these ids alone.
"""

from __future__ import annotations

import re
from hashlib import sha1

from backbeat.core.job import NAME

PREFIX = "redbeat."
_UNFIT = re.compile(r"[^A-Za-z0-9_.\-]+")
_KEPT = 100


def foreign_id(name: str) -> str:
    """The id of the entry of this name: `redbeat.nightly`; `redbeat.my-task-4f2a91c07d` for a name that no job could have."""
    plain = PREFIX + name
    if NAME.match(plain):
        return plain
    # The hash keeps apart what reads alike once the unfit characters are gone.
    return f"{PREFIX}{plain_name(name)[:_KEPT]}-{sha1(name.encode(), usedforsecurity=False).hexdigest()[:10]}"


def plain_name(name: str) -> str:
    """The name with whatever no job's name may hold replaced, never empty."""
    return _UNFIT.sub("-", name).strip("-.") or "entry"


def is_foreign(schedule_id: str) -> bool:
    """Whether an id in the index belongs to such an entry."""
    return schedule_id.startswith(PREFIX)

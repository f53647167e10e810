"""Queues of a pool, from one priority to the next."""

from __future__ import annotations

import pytest

from backbeat.core.priority import raised


@pytest.mark.parametrize(
    ("queue", "higher"),
    [("a.p0", "a.p1"), ("a.p8", "a.p9"), ("a.p9", None), ("celery", None), ("a.p10", None), (".p1", None), ("A.p1", None)],
)
def test_the_next_more_urgent_queue(queue: str, higher: str | None) -> None:
    assert raised(queue) == higher

"""Shards are shared fairly, by everyone's own computation."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from backbeat.core.shard import wanted

members = st.sets(st.text("abcdefgh0123", min_size=1, max_size=6), min_size=1, max_size=12)


@given(members, st.integers(min_value=1, max_value=64))
def test_every_shard_is_wanted_by_exactly_one_scheduler(alive: set[str], shards: int) -> None:
    owners = [shard for member in alive for shard in wanted(member, alive, shards)]

    assert sorted(owners) == list(range(shards))


@given(members, st.integers(min_value=1, max_value=64))
def test_nobody_leads_more_than_a_fair_share(alive: set[str], shards: int) -> None:
    assert max(len(wanted(member, alive, shards)) for member in alive) <= -(-shards // len(alive))


def test_a_scheduler_that_does_not_see_itself_yet_still_takes_part() -> None:
    assert wanted("new", ["old"], 16)

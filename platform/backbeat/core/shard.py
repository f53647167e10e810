"""Who leads which shard: a pure function of the schedulers that are alive."""

from __future__ import annotations

from binascii import crc32
from collections.abc import Iterable, Sequence


def wanted(me: str, alive: Iterable[str], shards: int) -> list[int]:
    """The shards that `me` should lead: a fair share, moved as little as possible when somebody joins or leaves.

    Rendezvous hashing with a cap: each shard goes to the scheduler with the highest hash for it that still has room,
    so no scheduler leads more than its ceil(shards / alive), and everyone computes the same answer.
    """
    members = sorted({me, *alive})
    room = dict.fromkeys(members, -(-shards // len(members)))
    mine = []
    for shard in range(shards):
        owner = _best(shard, members, room)
        room[owner] -= 1
        if owner == me:
            mine.append(shard)
    return mine


def slots_of(led: Iterable[int], shards: int, slots: int) -> list[int]:
    """The slots that belong to some shards: slot s to shard s % shards, so that another number of shards moves no data."""
    mine = set(led)
    return [slot for slot in range(slots) if slot % shards in mine]


def _best(shard: int, members: Sequence[str], room: dict[str, int]) -> str:
    free = [member for member in members if room[member] > 0]
    return max(free, key=lambda member: (crc32(f"{member}/{shard}".encode()), member))

"""Shard leases: the right of one scheduler to act for a shard until a time, with a fence that refuses late writes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from backbeat.store.layout import layout_key, verify
from backbeat.store.scripts import Call, run_many, script
from backbeat.store.slots import Slots


@dataclass(frozen=True, slots=True)
class Lease:
    """A slot that a holder leads; slots are led by whole shards."""

    shard: int
    holder: str
    fence: int
    until: int
    """Epoch ms by the server's clock."""


class Leases:
    """Taking, renewing and handing over shards on behalf of one holder (one incarnation of a scheduler process)."""

    def __init__(self, slots: Slots, holder: str, ttl: float, shards: int = 16) -> None:
        self.slots = slots
        self.holder = holder
        self.shards = min(shards, slots.count)
        """Into how many shards leadership is divided, as of the last meeting."""
        self.ttl_ms = round(ttl * 1000)

    def meet(self) -> list[str]:
        """Say that this scheduler is alive, and learn who else is, and into how many shards leadership is divided.

        Raises ConfigurationError when the data is laid out in another number of slots than this process takes for granted.
        """
        _, slots, shards, *members = self._member(leave=False)
        verify(self.slots, int(slots))
        self.shards = min(max(1, int(shards)), self.slots.count)
        return [str(member) for member in members]

    def leave(self) -> None:
        """Stop counting as alive at once, so that the others need not wait for the lease to end."""
        self._member(leave=True)

    def _member(self, *, leave: bool) -> list[str]:
        argv = [self.holder, self.ttl_ms, "1" if leave else "0", self.slots.count, self.shards]
        reply: list[str] = script("member")(self.slots.client, [_members(self.slots), layout_key(self.slots)], argv)
        return reply

    def take(self, shards: Iterable[int], also: Sequence[Call] = ()) -> list[Lease]:
        """Take or renew these shards; those that another scheduler still holds are left out.

        `also` holds script calls that travel along in the same round trip; their replies are dropped.
        """
        wanted = list(shards)
        replies = self._call(wanted, also, release=False)
        return [
            Lease(shard, self.holder, int(fence), int(until))
            for shard, (_, fence, _, until) in zip(wanted, replies, strict=False)
            if int(fence) > 0
        ]

    def release(self, shards: Iterable[int]) -> None:
        """Hand shards over: whoever wants them can take them this moment."""
        self._call(list(shards), release=True)

    def _call(self, shards: Sequence[int], also: Sequence[Call] = (), *, release: bool) -> list[list[str]]:
        argv = [self.holder, self.ttl_ms, "1" if release else "0"]
        calls: list[Call] = [(script("lease"), [self.slots.all[shard].lease], argv) for shard in shards]
        return run_many(self.slots.client, [*calls, *also]) if calls or also else []


def living(slots: Slots) -> list[str]:
    """The schedulers that count as alive now; looking does not join them."""
    return [str(holder) for holder in slots.client.zrangebyscore(_members(slots), slots.now_ms(), "+inf")]


def _members(slots: Slots) -> str:
    return f"{{{slots.prefix}}}:schedulers"

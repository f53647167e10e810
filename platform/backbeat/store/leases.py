"""Shard leases: the right of one scheduler to act for a shard until a time, with a fence that refuses late writes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from backbeat.store.scripts import run_many, script
from backbeat.store.slots import Slots
from backbeat.store.vitals import Call


@dataclass(frozen=True, slots=True)
class Lease:
    """A shard that a holder leads."""

    shard: int
    holder: str
    fence: int
    until: int
    """Epoch ms by the server's clock."""


class Leases:
    """Taking, renewing and handing over shards on behalf of one holder (one incarnation of a scheduler process)."""

    def __init__(self, slots: Slots, holder: str, ttl: float) -> None:
        self.slots = slots
        self.holder = holder
        self.ttl_ms = round(ttl * 1000)

    def meet(self) -> list[str]:
        """Say that this scheduler is alive, and learn who else is."""
        reply = script("member")(self.slots.client, [_members(self.slots)], [self.holder, self.ttl_ms, "0"])
        return [str(member) for member in reply[1:]]

    def leave(self) -> None:
        """Stop counting as alive at once, so that the others need not wait for the lease to end."""
        script("member")(self.slots.client, [_members(self.slots)], [self.holder, self.ttl_ms, "1"])

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

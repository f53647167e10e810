"""Shards, leases and fences with a clock that tests turn: the rules of lua/lease.lua and lua/fire.lua, in a few lines.

The model is only worth something while the scripts keep its rules: tests/store/test_lease_model.py holds them against it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from backbeat.core.due import decide
from backbeat.core.entry import Entry, Timing
from backbeat.core.shard import wanted
from backbeat.core.template import Template
from backbeat.core.when import Every

TTL = 3_000


@dataclass
class Shard:
    """What the server holds of one shard: its lease, and one entry's place."""

    holder: str = ""
    fence: int = 0
    until: int = 0
    score: int = 0
    runs: list[int] = field(default_factory=list)
    omitted: int = 0

    def take(self, holder: str, now: int) -> int:
        """As lua/lease.lua: the fence, or 0 while another holds it."""
        if self.until > now and self.holder != holder:
            return 0
        if self.until <= now or self.holder != holder:
            self.fence += 1
        self.holder, self.until = holder, now + TTL
        return self.fence

    def release(self, holder: str) -> None:
        """As lua/lease.lua with release: the fence stays, the time ends."""
        if self.holder == holder:
            self.until = 0

    def leads(self, holder: str, fence: int, now: int) -> bool:
        """The check with which every write begins."""
        return self.holder == holder and self.fence == fence and self.until > now

    def fire(self, holder: str, fence: int, now: int, seen: int, following: int, runs: tuple[int, ...], omitted: int) -> bool:
        """As lua/fire.lua for one entry: refused without the lease, or when the entry has moved."""
        if not self.leads(holder, fence, now) or self.score != seen:
            return False
        self.score = following
        self.runs += runs
        self.omitted += omitted
        return True


@dataclass
class Scheduler:
    """What one scheduler believes, which may be out of date by any amount."""

    name: str
    held: dict[int, int] = field(default_factory=dict)
    read: dict[int, tuple[int, int, int]] = field(default_factory=dict)
    """By shard: the fence, the score and the time that a tick has read and not yet written."""

    def renew(self, shards: list[Shard], alive: list[str], now: int) -> None:
        """As runtime/leading.py."""
        mine = wanted(self.name, alive, len(shards))
        for number in set(self.held) - set(mine):
            shards[number].release(self.name)
        self.held = {number: fence for number in mine if (fence := shards[number].take(self.name, now))}

    def look(self, shards: list[Shard], now: int) -> None:
        """The first half of a tick: lua/due.lua."""
        self.read = {n: (fence, shards[n].score, now) for n, fence in self.held.items() if shards[n].leads(self.name, fence, now)}

    def write(self, shards: list[Shard], now: int) -> None:
        """The second half, perhaps much later: what was decided then is written now."""
        for number, (fence, score, then) in self.read.items():
            if score <= then:
                decision = decide(then, score, ENTRY, TEMPLATE)
                assert decision.next is not None
                count = sum(omission.count for omission in decision.omissions)
                shards[number].fire(self.name, fence, now, score, decision.next, decision.fires, count)
        self.read = {}


ENTRY = Entry("tick", Timing(Every("1s")), "t", "[[],\t{}]")
TEMPLATE = Template("task")

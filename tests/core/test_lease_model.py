"""Any number of schedulers that freeze, die, join and leave at any moment fire every occurrence exactly once."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.core.lease_model import TTL, Scheduler, Shard

START = 1_700_000_000_000


class Fleet(RuleBasedStateMachine):
    """The server's shards, the schedulers' beliefs, and one clock."""

    @initialize(shards=st.integers(min_value=1, max_value=5))
    def begin(self, shards: int) -> None:
        self.now = START
        self.shards = [Shard(score=START) for _ in range(shards)]
        self.fleet: dict[str, Scheduler] = {}
        self.seen_until: dict[str, int] = {}
        self.born = 0
        self.join()

    @rule()
    def join(self) -> None:
        self.born += 1
        name = f"s{self.born}"
        self.fleet[name] = Scheduler(name)
        self.seen_until[name] = self.now + TTL

    @precondition(lambda self: len(self.fleet) > 1)
    @rule(data=st.data(), clean=st.booleans())
    def leave(self, data: st.DataObject, clean: bool) -> None:
        name = data.draw(st.sampled_from(sorted(self.fleet)))
        gone = self.fleet.pop(name)
        if clean:
            self.seen_until.pop(name)
            for number in gone.held:
                self.shards[number].release(name)

    @rule(ms=st.sampled_from([1, 200, 999, 1_000, TTL - 1, TTL, TTL + 1, 70_000]))
    def time_passes(self, ms: int) -> None:
        self.now += ms

    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.fleet)))
        self.seen_until[name] = self.now + TTL
        alive = [other for other, until in self.seen_until.items() if until > self.now]
        self.fleet[name].renew(self.shards, alive, self.now)

    @rule(data=st.data())
    def look(self, data: st.DataObject) -> None:
        self.fleet[data.draw(st.sampled_from(sorted(self.fleet)))].look(self.shards, self.now)

    @rule(data=st.data())
    def write(self, data: st.DataObject) -> None:
        self.fleet[data.draw(st.sampled_from(sorted(self.fleet)))].write(self.shards, self.now)

    @invariant()
    def nothing_is_fired_twice(self) -> None:
        for shard in self.shards:
            assert len(shard.runs) == len(set(shard.runs))

    @invariant()
    def nothing_before_the_entrys_place_is_missing(self) -> None:
        for shard in self.shards:
            assert len(shard.runs) + shard.omitted == (shard.score - START) // 1_000

    @invariant()
    def at_most_one_scheduler_leads_a_shard(self) -> None:
        for number, shard in enumerate(self.shards):
            leaders = [s.name for s in self.fleet.values() if shard.leads(s.name, s.held.get(number, -1), self.now)]
            assert len(leaders) <= 1

    def teardown(self) -> None:
        """Whatever happened: a lone healthy scheduler catches up with everything that is due."""
        self.now += TTL + 1
        survivor = Scheduler("survivor")
        survivor.renew(self.shards, [], self.now)
        while any(shard.score <= self.now for shard in self.shards):
            survivor.look(self.shards, self.now)
            survivor.write(self.shards, self.now)
        self.nothing_is_fired_twice()
        self.nothing_before_the_entrys_place_is_missing()


TestFleet = Fleet.TestCase
TestFleet.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)

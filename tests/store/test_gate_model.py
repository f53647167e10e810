"""Whatever happens in whatever order: never more than so many runs of a key work at once, and all of them end.

Random walks with fixed seeds: producers, workers that end well, fail, die or give back, a keeper and an operator. A failure
tells the whole walk, so that it can be read.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from backbeat.core.state import RunState
from backbeat.store.slots import Slots
from backbeat.store.store import Store
from tests.store.conftest import check_invariants
from tests.store.gate_runs import QUEUE, Site

pytestmark = pytest.mark.redis

TENANTS = ("x", "y")
STEPS = 60


class Walk:
    """One site, and what we know of it without asking it."""

    def __init__(self, store: Store, random: Random) -> None:
        self.random = random
        self.most = random.randint(1, 3)
        self.site = Site(store, max_concurrency=self.most, concurrency_key="{tenant}")
        self.tenant_of: dict[str, str] = {}
        self.running: set[str] = set()
        self.story: list[str] = []

    def submit(self) -> str:
        tenant = self.random.choice(TENANTS)
        run_id = self.site.submit(f"r{len(self.tenant_of)}", tenant=tenant)
        self.tenant_of[run_id] = tenant
        return f"{run_id} for {tenant}"

    def deliver(self, *, twice: bool | None = None) -> str:
        run_id = self.site.fetch()
        if run_id is None:
            return "nothing"
        copies = 1 + (self.random.random() < 0.3 if twice is None else twice)
        verdicts = []
        for _ in range(copies):
            claim = self.site.claim(run_id)
            verdicts.append(claim.verdict)
            if claim.won:
                assert run_id not in self.running, "two attempts at once"
                self.running.add(run_id)
        return f"{run_id}: {verdicts}"

    def end(self) -> str:
        if not self.running:
            return "nobody"
        run_id, how = self.random.choice(sorted(self.running)), self.random.choice(["succeed", "retry", "die", "give back"])
        self.running.discard(run_id)
        if how == "succeed":
            self.site.finish(run_id)
        elif how == "retry":
            self.site.finish(run_id, RunState.FAILED, retry_in=0)
        elif how == "die":
            self.site.lose(run_id)
            self.site.store.ledger.reap(100, 0.0)
        else:
            attempt = int(self.site.store.ledger.get(run_id)["a"])
            self.site.store.ledger.release(run_id, "w", attempt, {}, delay=0.001)
        # Until it is claimed again it has no place: others may have it.
        assert run_id not in self.site.members("hold", f"job:{self.tenant_of[run_id]}"), f"{run_id}: {how}, and holds on"
        return f"{run_id}: {how}"

    def cancel(self) -> str:
        others = sorted(set(self.tenant_of) - self.running)
        return f"{others}" if not others else self.site.store.ledger.cancel(self.random.choice(others), "enough")

    def keep(self) -> str:
        return f"{self.site.reap()}"

    def change(self) -> str:
        self.most = max(self.most, most := self.random.randint(1, 3))
        self.site.define(max_concurrency=most, concurrency_key="{tenant}")
        return f"{most} at once"

    def check(self) -> None:
        for tenant in TENANTS:
            working = {one for one in self.running if self.tenant_of[one] == tenant}
            holding, waiting = (set(self.site.members(kind, f"job:{tenant}")) for kind in ("hold", "wait"))
            assert working <= holding, "somebody works without a place"
            assert len(holding) <= self.most, "more than allowed"
            assert not holding & waiting
            assert holding or not waiting, "somebody waits before an open gate"
            assert all(self.site.state(one) == "pending" for one in waiting)
        check_invariants(self.site.store)

    def wind_down(self) -> None:
        """From here on nothing goes wrong: then everything ends, and no place stays taken."""
        for _ in range(2 * len(self.tenant_of) + 2):
            self.site.reap()
            for run_id in sorted(self.running):
                self.site.finish(run_id)
            self.running.clear()
            while self.site.client.llen(QUEUE):
                self.deliver(twice=False)
        assert {self.site.state(one) for one in self.tenant_of} <= {"gone", "quarantined"}, "somebody was forgotten"
        assert not [*self.site.client.scan_iter("*hold:*"), *self.site.client.scan_iter("*wait:*")], "a place stays taken"


@pytest.mark.parametrize("seed", range(12))
def test_limits_hold_and_nobody_is_forgotten(store: Store, seed: int) -> None:
    walk = Walk(Store(Slots(store.slots.client, "t", 2)), Random(seed))
    steps: list[Callable[[], str]] = [walk.submit] * 4 + [walk.deliver] * 5 + [walk.end] * 3 + [walk.keep] * 2 + [walk.cancel]
    steps += [walk.change] * (seed % 2)
    try:
        for _ in range(STEPS):
            step = walk.random.choice(steps)
            walk.story.append(f"{step.__name__} {step()}")
            walk.check()
        walk.wind_down()
    except AssertionError as error:
        error.add_note("\n".join(walk.story))
        raise

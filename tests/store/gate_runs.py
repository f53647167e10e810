"""Runs of a limited job by hand: what a worker and a keeper do, one step at a time."""

from __future__ import annotations

import json
from typing import Any

from backbeat.core.job import JobSpec
from backbeat.core.limits import filled
from backbeat.core.message import dumps
from backbeat.core.state import RunState
from backbeat.core.template import Template
from backbeat.store.ledger import Claim
from backbeat.store.store import Store

QUEUE = "default.p5"


class Site:
    """One job, its queue, and whoever claims from it. Messages are run ids."""

    def __init__(self, store: Store, **options: Any) -> None:
        self.store = store
        self.client = store.slots.client
        self.holders = 0
        self.define(**options)

    def define(self, **options: Any) -> None:
        """The job with these limits from now on."""
        self.spec = JobSpec("job", "job", **options)
        self.store.index.put(self.spec)

    def submit(self, name: str, **kwargs: Any) -> str:
        """One run, queued."""
        run_id, template = f"job:{name}", Template.of(self.spec)
        self.store.index.keep_template(run_id, template, "job")
        fields = {"j": "job", "n": "", "q": QUEUE, "tid": template.id, "x": dumps([[], kwargs])}
        self.store.ledger.submit(run_id, fields, run_id)
        return run_id

    def fetch(self) -> str | None:
        """The next message, as a worker takes it."""
        message = self.client.rpop(QUEUE)
        return None if message is None else str(message)

    def claim(self, run_id: str, holder: str = "w") -> Claim:
        """What a worker does with a message: asked for its keys, it gives them."""
        claim = self.store.ledger.claim(run_id, holder, 30, holder)
        if claim.verdict == "gated":
            limits, (_, kwargs) = json.loads(claim.fields["limits"]), json.loads(claim.fields["x"])
            keys = {name: filled(limits[name], kwargs) for name in ("ck", "rk") if name in limits}
            claim = self.store.ledger.claim(run_id, holder, 30, holder, gate=dumps({**keys, "m": run_id}))
        return claim

    def finish(self, run_id: str, state: RunState = RunState.SUCCEEDED, retry_in: float | None = None, holder: str = "w") -> bool:
        """The end of an attempt."""
        attempt = int(self.store.ledger.get(run_id)["a"])
        return self.store.ledger.finish(run_id, holder, attempt, state, {}, retry_in)

    def lose(self, run_id: str) -> None:
        """Its worker was killed, and the lease has ended."""
        self.client.zadd(self.store.slots.of(run_id).timers, {run_id: 1})

    def reap(self) -> list[str]:
        """A keeper's step; the runs that it queued."""
        return [one.run_id for one in self.store.ledger.reap(100, 0.0) if self.store.ledger.queue(one, one.run_id)]

    def state(self, run_id: str) -> str:
        """Its state; `gone` when it is over."""
        return self.store.ledger.get(run_id).get("s", "gone")

    def members(self, kind: str, gate: str = "job") -> list[str]:
        """Who holds or waits at a gate, in order."""
        return [str(one) for one in self.client.zrange(f"{self.store.slots.of('job').prefix}{kind}:{gate}", 0, -1)]

"""A keeper's duty: carry backfills out, a few runs at a time, in the queue that every other run overtakes.

The database says what is to be done and what was asked for; the ledger makes each run once, whoever asks and however often.
A keeper that dies between the two leaves slots that were asked for and have no run: another asks again.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from backbeat.core.backfill import Stage
from backbeat.core.state import TERMINAL, RunState
from backbeat.errors import StoreUnavailable, UnknownJob
from backbeat.runtime.insist import OUTAGE
from backbeat.runtime.submit import prepare
from backbeat.store.events import oldest
from backbeat.store.store import Store

log = logging.getLogger("backbeat.keeper")

LOOK_EVERY, LOOK_FOR_NEW_EVERY = 0.5, 3.0
"""Seconds between two looks at the backfills, and while there is none."""
LOWEST = 0
"""The priority of every run of a backfill, and of every node of such a DAG run."""
LANE = "bf"
"""The field of a run that says of which backfill it is."""
_OVER = TERMINAL | {RunState.QUARANTINED}
"""What makes room for the next run: one in quarantine may stay there for days."""
DROPPED = "dropped"
"""The end of a slot whose run was never made."""
_LATER = 3600.0


@dataclass(frozen=True, slots=True)
class Order:
    """A backfill that is not over. `arguments` is the JSON text of its runs' [args, kwargs]."""

    id: int
    job: str
    schedule: str
    stage: Stage
    at_once: int
    arguments: str
    reason: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A run that was asked for (nominal in epoch ms), and how it ended as far as history knows."""

    run_id: str
    nominal: int
    end: RunState | None = None


class Backfills(Protocol):
    """Where backfills are kept. Every call is one transaction."""

    def open(self) -> Sequence[Order]:
        """Those that are not over."""

    def asked(self, order: Order) -> Sequence[Asked]:
        """Runs that were asked for and whose end is not noted yet."""

    def end(self, order: Order, ends: Mapping[str, str]) -> None:
        """Note how runs ended."""

    def take(self, order: Order, at_once: int) -> Sequence[Asked]:
        """Mark the next slots as asked for, so that at most `at_once` are; nothing unless the backfill is still running."""

    def close(self, order: Order) -> bool:
        """End the backfill when nothing of it is left; True when it was this call that did."""


class BackfillKeeper:
    """One step looks at every backfill: notes ends, asks again for what was lost, asks for what has room."""

    def __init__(self, store: Store, backfills: Backfills) -> None:
        self.store = store
        self.backfills = backfills
        self._absent: dict[str, int] = {}
        """When (epoch ms) a run that was asked for was first seen nowhere."""
        self._never_made: set[str] = set()
        self._any = False

    def pause(self) -> float:
        """Seconds until the next look: while there is no backfill, as on most days, looking often only costs."""
        return LOOK_EVERY if self._any else LOOK_FOR_NEW_EVERY

    def step(self) -> int:
        """Returns how much was done. Never raises for an outage of Redis."""
        orders = self.backfills.open()
        self._any = bool(orders)
        try:
            return sum(self._carry_out(order) for order in orders)
        except (*OUTAGE, StoreUnavailable) as error:
            log.warning("Redis does not answer: %s", error)
            return 0

    def _carry_out(self, order: Order) -> int:
        asked = self.backfills.asked(order)
        ends, absent = self._looked(asked)
        if ends:
            self.backfills.end(order, {run_id: end.value for run_id, end in ends.items()})
        lost = [one for one in asked if one.run_id in absent and self._told(one)]
        for one in lost:
            self._ask(order, one)
        if order.stage is Stage.CANCELLING:
            for one in asked:
                if one.run_id not in ends and one.run_id not in absent:
                    self.store.ledger.cancel(one.run_id, order.reason)
        new = self.backfills.take(order, self._room(order)) if order.stage is Stage.RUNNING else ()
        for one in new:
            self._ask(order, one)
        return len(ends) + len(lost) + len(new) + self.backfills.close(order)

    def _looked(self, asked: Sequence[Asked]) -> tuple[dict[str, RunState], set[str]]:
        """The runs that have ended, and those that are nowhere."""
        states = self.store.ledger.states([one.run_id for one in asked if one.end is None])
        ends = {one.run_id: one.end for one in asked if one.end is not None}
        ends |= {run_id: state for run_id, state in states.items() if state in _OVER}
        absent = {one.run_id for one in asked if one.run_id not in ends and one.run_id not in states}
        for run_id in [one for one in self._absent if one in ends or one in states]:
            del self._absent[run_id]
            self._never_made.discard(run_id)
        return ends, absent

    def _told(self, one: Asked) -> bool:
        """Whether history was read after it had everything up to when the run was first missed: then it was never made."""
        if one.run_id in self._never_made:
            return True
        since = self._absent.setdefault(one.run_id, self.store.slots.now_ms())
        first = oldest(self.store.slots, one.run_id)
        if first is None or first > since:
            # Our own look into history came before this one, so only the next may be believed.
            self._never_made.add(one.run_id)
        return False

    def _room(self, order: Order) -> int:
        """How many runs may be unfinished. None more while runs of the DAG wait for their turn: a live one could be behind."""
        keys = self.store.slots.of(order.job)
        return 0 if self.store.slots.client.llen(f"{keys.prefix}dag.line:{order.job}") else order.at_once

    def _ask(self, order: Order, one: Asked) -> None:
        """Make the run, once. Of a backfill that is being cancelled it is made to be cancelled: a slower keeper can't then."""
        cancelling = order.stage is Stage.CANCELLING
        facts = {"n": str(one.nominal), "e": str(one.nominal), LANE: str(order.id)}
        if order.schedule != order.job:
            facts["sid"] = order.schedule
        try:
            prepare(
                self.store,
                order.job,
                one.run_id,
                order.arguments,
                delay=_LATER if cancelling else 0.0,
                priority=LOWEST,
                reason=f"backfill {order.id}" + (f": {order.reason}" if order.reason else ""),
                keyed=True,
                send=True,
                facts=facts,
            )
        except UnknownJob as error:
            # An index that is being rebuilt has it again soon; who deleted the job cancels the backfill too.
            log.warning("backfill %s: run %s can't be made: %s", order.id, one.run_id, error)
            if cancelling:
                self.backfills.end(order, {one.run_id: DROPPED})
        if cancelling:
            self.store.ledger.cancel(one.run_id, order.reason)

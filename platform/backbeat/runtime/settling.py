"""What a worker writes into the ledger for a run whose own code can't: it was killed, stopped, or ran out of time."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace

from backbeat.core.state import RunState
from backbeat.core.template import Template
from backbeat.runtime.attempt import delay_by_policy, tries_of
from backbeat.runtime.hands import Why
from backbeat.runtime.identity import INCARNATION
from backbeat.runtime.insist import OUTAGE
from backbeat.runtime.outcome import Outcome, failed, given_back
from backbeat.runtime.redeliver import message_of
from backbeat.store.store import Store, open_store

log = logging.getLogger("backbeat.worker")

_owed: deque[Callable[[], object]] = deque(maxlen=10_000)


def pay() -> None:
    """Write what could not be written while Redis was away. Raises its errors when it still is."""
    while _owed:
        _owed[0]()
        _owed.popleft()


Mine = Callable[[Mapping[str, str]], bool]
"""Tells from a run's fields whether the attempt in question still has it."""


def by_process(process: int) -> Mine:
    """The attempt in a pool process of this worker."""
    return lambda run: run.get("who", "").partition(".")[0] == str(process)


def by_number(number: int) -> Mine:
    """The attempt of this number, somewhere in this worker."""
    return lambda run: run.get("a") == str(number)


def cancelled(run_id: str, mine: Mine, log_text: str = "") -> bool:
    """The attempt was stopped because somebody cancelled the run."""
    outcome = Outcome(RunState.CANCELLED)
    return _write(run_id, mine, lambda store, run: _finish(store, run_id, run, outcome, log_text=log_text))


def timed_out(run_id: str, mine: Mine, error: BaseException, log_text: str = "") -> tuple[bool, float | None]:
    """The attempt ran out of time. (Whether it was ours to end, seconds until the next one if there is any)."""
    return _ended(run_id, mine, failed(error, RunState.TIMED_OUT), log_text)


def outgrown(run_id: str, mine: Mine, error: BaseException) -> tuple[bool, float | None]:
    """The attempt took too much memory. Returns as `timed_out`."""
    return _ended(run_id, mine, replace(failed(error), reason="memory"), "")


def _ended(run_id: str, mine: Mine, outcome: Outcome, log_text: str) -> tuple[bool, float | None]:
    delays: list[float | None] = [None]

    def end(store: Store, run: Mapping[str, str]) -> bool:
        template = store.index.template(store.slots.of(run_id).slot, run["tid"]) or Template(run["j"])
        delays[0] = delay_by_policy(template, tries_of(run), outcome)
        return _finish(store, run_id, run, outcome, delays[0], log_text)

    return _write(run_id, mine, end), delays[0]


def released(run_id: str, mine: Mine, why: Why, log_text: str = "") -> bool:
    """The attempt was stopped through no fault of its job, so the run goes back."""
    data = given_back(why).data(log_text)

    def give(store: Store, run: Mapping[str, str]) -> bool:
        message = message_of(store, run_id, run)
        delay = 0.0 if message is not None else 0.001
        return store.ledger.release(run_id, INCARNATION, int(run["a"]), data, message or "", delay) > 0

    return _write(run_id, mine, give)


def lost(run_id: str, process: int, error: BaseException) -> bool:
    """The process of the attempt is dead, and nobody knows how far it came."""
    data = failed(error).data()
    return _write(run_id, by_process(process), lambda store, _: store.ledger.lose(run_id, INCARNATION, process, data))


def _finish(
    store: Store, run_id: str, run: Mapping[str, str], outcome: Outcome, retry_in: float | None = None, log_text: str = ""
) -> bool:
    return store.ledger.finish(run_id, INCARNATION, int(run["a"]), outcome.state, outcome.data(log_text), retry_in)


def _write(run_id: str, mine: Mine, write: Callable[[Store, Mapping[str, str]], bool]) -> bool:
    """Write for an attempt of this worker; nothing when it has the run no more."""

    def try_it() -> bool:
        store = open_store()
        run = store.ledger.get(run_id)
        held = run.get("s") == RunState.RUNNING and run.get("h") == INCARNATION and mine(run)
        return held and write(store, run)

    try:
        return try_it()
    except OUTAGE as error:
        log.warning("run %s: Redis does not answer, so its end is written later: %s", run_id, error)
        _owed.append(try_it)
        return False

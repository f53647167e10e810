"""Jobs that the database guards as well: an attempt enters and leaves by a row there, within its own transaction if it likes.

The ledger decides who works on a run, but Redis may lose data and then asks for a run again that is done. A row in the
database remembers. Where the work itself is done in that database, both are one transaction, so that neither is without the
other: whoever comes later finds the row and has only to tell the ledger.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from backbeat.conf import settings
from backbeat.core.state import RunState
from backbeat.runtime import provided, registry
from backbeat.runtime.outcome import Outcome, failed
from backbeat.runtime.ports import Entry, Gate
from backbeat.runtime.working import Result, undisturbed

if TYPE_CHECKING:
    from backbeat.runtime.attempt import Attempt

log = logging.getLogger("backbeat.worker")

Work = Callable[[], Result]
LONGEST_PAUSE = 60.0


class TurnedAway(Exception):
    """The attempt may not begin, or nobody can know what it came to: another one, after `delay` seconds, finds out."""

    def __init__(self, why: str, delay: float, at_least: int = 0) -> None:
        super().__init__(why)
        self.delay = delay
        self.at_least = at_least


class _Undo(Exception):
    """Leaves a transaction without its work."""


class SecondGate:
    """The way of one attempt through the database."""

    def __init__(self, gate: Gate, attempt: Attempt, *, transactional: bool) -> None:
        self._gate = gate
        self._attempt = attempt
        self._run_id, self._fence = attempt.run_id, attempt.number
        self._transactional = transactional

    def through(self, work: Work) -> Result:
        """Do the work, or tell what it came to when it is done already. Raises TurnedAway, and what ends work from outside."""
        fields = self._attempt.fields
        entry = self._asked(lambda: self._gate.enter(self._run_id, self._fence, fields.get("w", ""), int(fields.get("ra", 0))))
        if entry.done:
            log.info("run %s: the database knows that it is done; only the ledger has to be told", self._run_id)
            return self._done(entry)
        if not entry.open:
            # The ledger has forgotten attempts. Whoever still works on one of them has a lease's time to notice.
            raise TurnedAway(f"the database knows attempt {entry.fence} of it", settings().run_lease, entry.fence)
        return self._within_transaction(work) if self._transactional else self._beside(work)

    def _within_transaction(self, work: Work) -> Result:
        result: Result | None = None
        # The signal that ends a pool process waits until it is certain what became of the transaction.
        with ExitStack() as quiet:
            try:
                with self._gate.transaction():
                    result = work()
                    quiet.enter_context(undisturbed())
                    self._conclude(result)
            except _Undo:
                pass
            except Exception as error:
                if result is None:
                    raise self._away(error) from error
                # The transaction's own end failed: a constraint, or a connection that broke before the answer came.
                if not self._asked(lambda: self._gate.done(self._run_id, self._fence)):
                    return Result(None, error, failed(error))
        assert result is not None  # noqa: S101 - what leaves it so has raised
        return result

    def _conclude(self, result: Result) -> None:
        if result.outcome.state is not RunState.SUCCEEDED or not self._leave(result):
            raise _Undo

    def _beside(self, work: Work) -> Result:
        result = work()
        if result.outcome.state is RunState.SUCCEEDED:
            try:
                with undisturbed():
                    self._leave(result)
            except self._gate.unavailable as error:
                log.warning("run %s: only the ledger will know that it is done: %s", self._run_id, error)
        return result

    def _leave(self, result: Result) -> bool:
        node = self._attempt.node
        left = self._gate.leave(self._run_id, self._fence, result.outcome.result or "", node.output if node else "")
        if not left:
            log.warning("run %s: the database knows a newer attempt than %d", self._run_id, self._fence)
        return left

    def _done(self, entry: Entry) -> Result:
        if self._attempt.node:
            self._attempt.node.output = entry.output
        value = json.loads(entry.result) if entry.result else None
        return Result(value, None, Outcome(RunState.SUCCEEDED, entry.result or None))

    def _asked(self, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except self._gate.unavailable as error:
            raise self._away(error) from error

    def _away(self, error: Exception) -> TurnedAway:
        """A run that needs the database waits for it, as often as it takes."""
        pause = min(2.0 ** min(int(self._attempt.fields.get("b", 0)), 6), LONGEST_PAUSE)
        return TurnedAway(f"the database does not answer: {error}", pause)


def _straight_away(work: Work) -> Result:
    return work()


def second_gate(attempt: Attempt, fields: Mapping[str, str]) -> Callable[[Work], Result]:
    """How an attempt's work is done: straight away, or by way of the database when the job's code asks for that.

    Raises ConfigurationError for a job that asks for it in a process that has none.
    """
    job = registry.jobs.get(fields["j"]) or registry.jobs.get(attempt.template.task)
    if job is None or not job.spec.gated:
        return _straight_away
    return SecondGate(provided.gate(), attempt, transactional=job.spec.transactional).through

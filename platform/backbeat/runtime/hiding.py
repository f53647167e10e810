"""Keeping a run's secrets out of what is told of it: its log, its error, its traceback, its result, and what tools show."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from celery.exceptions import Ignore, Retry

from backbeat.core.secrets import masked, scrubbed, secrets_in, with_names
from backbeat.errors import RunFailed
from backbeat.runtime import registry
from backbeat.runtime.context import CurrentRun
from backbeat.runtime.outcome import NOTHING, Outcome, cause
from backbeat.runtime.working import Result

_NUMBERS = frozenset({int, float, bool, type(None)})
"""What holds no secret, since a secret is text."""
SHOWN = 1024
"""Characters of the arguments that tools get to see, as many as Celery shows."""


def shown(job: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Arguments as anybody may see them."""
    return masked(with_names(args, _names(job))), masked(kwargs)


def _names(job: str) -> Sequence[str]:
    registered = registry.jobs.get(job)
    return () if registered is None else registered.params.positional


def hidden(run: CurrentRun, done: Result) -> Result:
    """What a run's work came to, fit to be told."""
    return done if done.outcome is NOTHING else Hiding(run).result(done)


class Hiding:
    """Knows the secrets of one run, also those that a DAG's node gets only when its work begins."""

    __slots__ = ("_of", "_run", "_secrets")

    def __init__(self, run: CurrentRun) -> None:
        self._run = run
        self._of: object = None
        self._secrets: list[str] = []

    def filter(self, record: logging.LogRecord) -> bool:
        """A filter for loggers: it lets every record pass, without its secrets."""
        if secrets := self._known():
            record.msg, record.args = scrubbed(record.getMessage(), secrets), ()
            if record.exc_info:
                record.exc_text = scrubbed(logging.Formatter().formatException(record.exc_info), secrets)
                record.exc_info = None
        return True

    def outcome(self, outcome: Outcome) -> Outcome:
        """What history may keep."""
        secrets = self._known()
        if not secrets:
            return outcome
        error = {name: scrubbed(text, secrets) for name, text in outcome.error.items()} if outcome.error else outcome.error
        result = scrubbed(outcome.result, secrets) if outcome.result else outcome.result
        return replace(outcome, error=error, result=result)

    def result(self, done: Result) -> Result:
        """What the work came to, fit to be told. Celery writes an error into its own log and backend, so it gets another one."""
        outcome = self.outcome(done.outcome)
        if outcome is done.outcome:
            return done
        if outcome == done.outcome or done.error is None or isinstance(done.error, Ignore):
            return done._replace(outcome=outcome)
        told = outcome.error or {}
        error: BaseException = RunFailed(f"{told.get('type')}: {told.get('message')}")
        if isinstance(done.error, Retry):
            error = Retry(exc=error, when=done.error.when)
        elif not isinstance(cause(done.error), Exception):
            error = done.error
        return done._replace(error=error, outcome=outcome)

    def _known(self) -> list[str]:
        arguments = (self._run.args, self._run.kwargs)
        if self._of is not arguments[1]:
            self._of = arguments[1]
            if not arguments[1] and _NUMBERS.issuperset(map(type, arguments[0])):
                return self._secrets
            self._secrets = secrets_in([with_names(arguments[0], _names(self._run.job)), arguments[1]])
        return self._secrets

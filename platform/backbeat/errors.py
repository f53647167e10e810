"""Every error that Backbeat raises on purpose.

A message says what was expected, what came, the nearest valid thing and the cure;
the docstring of a class is its default message.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(got: str, known: Iterable[str]) -> str:
    """A sentence that names the closest known word, or nothing when none is close."""
    # No word that we know is longer, and comparing a megabyte with 600 zones takes minutes.
    close = get_close_matches(got, list(known), n=1, cutoff=0.6) if len(got) <= 128 else ()
    return f" Did you mean {close[0]!r}?" if close else ""


class BackbeatError(Exception):
    """Something that Backbeat refuses to do; see the message."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or type(self).__doc__ or type(self).__name__)


class DefinitionError(BackbeatError, ValueError):
    """A job, schedule or DAG definition is not valid."""

    def __init__(self, field: str, message: str) -> None:
        self.field = field
        self.sentence = message
        super().__init__(f"{field}: {message}")

    def __reduce__(self) -> tuple[type[DefinitionError], tuple[str, str]]:
        return type(self), (self.field, self.sentence)


class UnknownOption(DefinitionError):
    """An option that @job or @dag does not have."""


class BadSchedule(DefinitionError):
    """A cron expression, interval or date that names no moment."""


class BadArguments(DefinitionError):
    """Arguments that do not fit the function's parameters."""


class DuplicateJob(BackbeatError):
    """Two jobs have the same name; names are the identity of a job, so one of them must change."""


class UnknownJob(BackbeatError, LookupError):
    """No job of that name is registered or defined."""


class UnknownRun(BackbeatError, LookupError):
    """No run of that id is known here (any more)."""


class IllegalTransition(BackbeatError):
    """A run was asked to make a move that its state does not allow."""


class ConfigurationError(BackbeatError):
    """One or more settings are missing or wrong."""


class NotAllowed(BackbeatError):
    """A job tried something that its options forbid."""


class StoreUnavailable(BackbeatError, ConnectionError):
    """Redis does not answer, so nothing can be fired or submitted until it does; nothing is lost meanwhile."""


class NewerMessage(BackbeatError):
    """A message was written by a newer Backbeat than this worker's; update the worker."""


class NewerPolicy(BackbeatError):
    """A job's policies were written by a newer Backbeat than this process'; update it."""


class RunFailed(BackbeatError):
    """The job ended in a way that would have taken its worker along, or with an error that tells a secret."""


class MemoryLimitExceeded(BackbeatError):
    """The process of a run took more memory than its job may."""


class GraphError(DefinitionError):
    """A DAG is not a graph that can run. `problems` holds one sentence for each thing that is wrong."""

    def __init__(self, field: str, problems: str | Iterable[str]) -> None:
        self.problems = tuple(problems.split("\n") if isinstance(problems, str) else problems)
        super().__init__(field, "\n".join(self.problems))

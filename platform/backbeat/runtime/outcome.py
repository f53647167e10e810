"""What an attempt came to, as history keeps it: results, errors and logs as bounded text."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field
from typing import Any

from celery.exceptions import Retry

from backbeat.core.message import dumps
from backbeat.core.state import RunState

ERROR_LIMIT = 4_000
TRACEBACK_LIMIT = 32_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """The state that an attempt ends in, and what there is to say about it."""

    state: RunState
    result: str | None = None
    """JSON text, or None when there is none to keep."""
    error: dict[str, str] | None = None
    """`type`, `message`, `traceback`."""
    bases: tuple[str, ...] = field(default=())
    """Names of the error's class and its bases, for the retry policy."""
    reason: str = ""
    """One word for what ended the attempt from outside."""

    def data(self, log: str = "") -> dict[str, Any]:
        """What goes into the event."""
        pairs = {"result": self.result, "error": self.error, "log": plain(log), "reason": self.reason}
        return {name: value for name, value in pairs.items() if value}


NOTHING = Outcome(RunState.SUCCEEDED, "null")
"""A job returned nothing, as most do."""


def succeeded(value: Any, limit: int) -> Outcome:
    """A job returned. A value that JSON can't hold, or a too large one, is kept as a note: the work is done all the same."""
    if value is None:
        return NOTHING
    try:
        text = dumps(value)
    except (TypeError, ValueError, RecursionError) as error:
        return Outcome(RunState.SUCCEEDED, dumps({"not kept": f"the result is no JSON: {error}", "type": type(value).__name__}))
    text = plain(text)
    if (size := len(text.encode())) > limit:
        return Outcome(RunState.SUCCEEDED, dumps({"not kept": f"the result is {size} bytes; the limit is {limit}"}))
    return Outcome(RunState.SUCCEEDED, text)


def failed(error: BaseException, state: RunState = RunState.FAILED) -> Outcome:
    """A job raised. The error is described without trusting it: its own methods may raise too."""
    story = plain("".join(traceback.format_exception(type(error), _Plain.of(error), error.__traceback__)))
    data = {"type": _name(type(error)), "message": describe(error)[:ERROR_LIMIT], "traceback": story[-TRACEBACK_LIMIT:]}
    names = tuple(name for cls in type(error).__mro__[:-1] for name in (cls.__name__, _name(cls)))
    return Outcome(state, error=data, bases=names)


def given_back(why: str) -> Outcome:
    """The worker gave the run back unfinished."""
    return Outcome(RunState.CANCELLED, error={"type": "GivenBack", "message": f"the worker gave it back: {why}"})


def cause(error: BaseException) -> BaseException:
    """What made a task ask for a retry, or the error itself."""
    inner = getattr(error, "exc", None) if isinstance(error, Retry) else error
    return inner if isinstance(inner, BaseException) else error


def describe(error: BaseException) -> str:
    """`str(error)`, or why there is none."""
    try:
        return plain(str(error))
    except Exception as broken:  # noqa: BLE001 - a foreign __str__ may raise anything; the run must be recorded
        return f"<{type(error).__name__} can't be shown: its __str__ raised {type(broken).__name__}>"


def plain(text: str) -> str:
    """Text that Redis and every database take: no half characters, and no NUL."""
    if text.isascii() and "\0" not in text:
        return text
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")


class _Plain(Exception):
    """Stands in for an error whose own text may not be trusted."""

    @classmethod
    def of(cls, error: BaseException) -> BaseException:
        try:
            str(error), repr(error)
        except Exception:  # noqa: BLE001 - as above
            return cls(describe(error))
        return error


def _name(cls: type) -> str:
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"

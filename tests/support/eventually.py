"""Wait for a fact, never for a while."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
Message = str | Callable[[], str]
"""What to say when the fact did not come; a function is asked at that moment, so that it can show the logs of then."""


def eventually(fact: Callable[[], T], within: float = 5.0, every: float = 0.02, message: Message = "") -> T:
    """The first true answer of `fact`, asked again and again for at most `within` seconds.

    An AssertionError of `fact` counts as "not yet", so assertions can be waited for as well.
    Raises AssertionError with the last answer when the time is over.
    """
    deadline = time.monotonic() + within
    while True:
        answer, failure = _asked(fact)
        if answer:
            return answer
        if time.monotonic() >= deadline:
            break
        time.sleep(every)
    last = f"the last answer was {answer!r}" if failure is None else f"the last answer was {failure}"
    story = message() if callable(message) else message
    raise AssertionError(f"{story or 'not true'} within {within:g} s; {last}") from failure


def _asked(fact: Callable[[], T]) -> tuple[T | None, AssertionError | None]:
    try:
        return fact(), None
    except AssertionError as failure:
        return None, failure

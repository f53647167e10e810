"""When a failed attempt is tried again. Delays are seconds; the spread comes from the caller."""

from __future__ import annotations

from dataclasses import dataclass

from backbeat.core.duration import seconds
from backbeat.errors import DefinitionError

BACKOFFS = ("exp", "fixed")


@dataclass(frozen=True, slots=True)
class Retry:
    """How often, and how far apart. `Retry(3)` means up to three further attempts after the first."""

    max: int = 0
    backoff: str = "exp"
    delay: str | float = "1s"
    cap: str | float = "10m"
    jitter: bool = True
    on: tuple[str, ...] = ()
    give_up_on: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.max, int) or isinstance(self.max, bool) or not 0 <= self.max <= 1000:
            raise DefinitionError("retry", f"expected max to be a whole number from 0 to 1000; got {self.max!r}.")
        if self.backoff not in BACKOFFS:
            raise DefinitionError("retry", f"expected backoff to be one of {', '.join(BACKOFFS)}; got {self.backoff!r}.")
        object.__setattr__(self, "delay", seconds(self.delay, "retry"))
        object.__setattr__(self, "cap", seconds(self.cap, "retry"))
        object.__setattr__(self, "on", _names(self.on))
        object.__setattr__(self, "give_up_on", _names(self.give_up_on))

    def wants(self, error: tuple[str, ...]) -> bool:
        """Whether an error with these class names (its own and its bases') is worth another attempt."""
        if any(name in self.give_up_on for name in error):
            return False
        return not self.on or any(name in self.on for name in error)


def _names(errors: object) -> tuple[str, ...]:
    listed = errors if isinstance(errors, (tuple, list)) else (errors,)
    return tuple(item if isinstance(item, str) else item.__name__ for item in listed)


def next_delay(policy: Retry, attempt: int, spread: float) -> float | None:
    """Seconds until attempt + 1, or None when the policy is used up.

    `attempt` counts from 1 and has just failed; `spread` in [0, 1) is the caller's random number. With jitter the
    delay lies between half and the whole of the exponential step ("equal jitter"), so that a herd comes apart
    while nobody retries at once.
    """
    if attempt > policy.max:
        return None
    base = float(policy.delay)
    step = base * 2 ** min(attempt - 1, 60) if policy.backoff == "exp" else base
    step = min(step, float(policy.cap))
    return step * (0.5 + spread / 2) if policy.jitter else step

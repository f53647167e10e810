"""The states of a run and the moves between them. One table; Lua scripts and docs are checked against it."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from backbeat.errors import IllegalTransition


class RunState(StrEnum):
    """Where a run stands. Terminal states are final."""

    PENDING = "pending"
    QUEUED = "queued"
    RUNNING = "running"
    RETRYING = "retrying"
    LOST = "lost"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    QUARANTINED = "quarantined"
    SKIPPED = "skipped"
    MISSED = "missed"
    EXPIRED = "expired"
    UPSTREAM_FAILED = "upstream_failed"


class Move(StrEnum):
    """What can happen to a run."""

    QUEUE = "queue"
    CLAIM = "claim"
    SUCCEED = "succeed"
    FAIL = "fail"
    TIME_OUT = "time_out"
    CANCEL = "cancel"
    LOSE = "lose"
    RETRY = "retry"
    QUARANTINE = "quarantine"
    RELEASE = "release"
    EXPIRE = "expire"
    WAIT = "wait"
    """Put aside at its claim, because a limit of its job is reached."""


S, M = RunState, Move

TRANSITIONS: dict[tuple[RunState, Move], RunState] = {
    (S.PENDING, M.QUEUE): S.QUEUED,
    (S.PENDING, M.CANCEL): S.CANCELLED,
    (S.QUEUED, M.CLAIM): S.RUNNING,
    (S.QUEUED, M.QUEUE): S.QUEUED,
    (S.QUEUED, M.WAIT): S.PENDING,
    (S.QUEUED, M.EXPIRE): S.EXPIRED,
    (S.QUEUED, M.CANCEL): S.CANCELLED,
    (S.RUNNING, M.SUCCEED): S.SUCCEEDED,
    (S.RUNNING, M.FAIL): S.FAILED,
    (S.RUNNING, M.TIME_OUT): S.TIMED_OUT,
    (S.RUNNING, M.CANCEL): S.CANCELLED,
    (S.RUNNING, M.LOSE): S.LOST,
    (S.RUNNING, M.RELEASE): S.QUEUED,
    (S.FAILED, M.RETRY): S.RETRYING,
    (S.TIMED_OUT, M.RETRY): S.RETRYING,
    (S.LOST, M.RETRY): S.RETRYING,
    (S.LOST, M.QUARANTINE): S.QUARANTINED,
    (S.RETRYING, M.QUEUE): S.QUEUED,
    (S.RETRYING, M.CANCEL): S.CANCELLED,
    (S.QUARANTINED, M.RELEASE): S.QUEUED,
    (S.QUARANTINED, M.CANCEL): S.CANCELLED,
}

UNFINISHED = frozenset({S.PENDING, S.QUEUED, S.RUNNING, S.RETRYING, S.LOST, S.QUARANTINED})
NEVER_RAN = frozenset({S.SKIPPED, S.MISSED, S.EXPIRED, S.UPSTREAM_FAILED})
TERMINAL = frozenset(RunState) - UNFINISHED
LOSSES_BEFORE_QUARANTINE = 3


class Ask(StrEnum):
    """What an operator may ask for a run."""

    CANCEL = "cancel"
    RELEASE = "release"
    RETRY = "retry"
    """A new run in place of one that did not end well; asked twice, it is the same one."""
    AGAIN = "again"
    """One more run with the same arguments, each time it is asked for."""


ASKS: dict[Ask, frozenset[RunState]] = {
    Ask.CANCEL: frozenset(state for state, move in TRANSITIONS if move is M.CANCEL),
    Ask.RELEASE: frozenset({S.QUARANTINED}),
    Ask.RETRY: TERMINAL - {S.SUCCEEDED},
    Ask.AGAIN: frozenset(RunState),
}


class Reason(StrEnum):
    """Why an occurrence did not become a run."""

    PAUSED = "paused"
    OVERLAP = "overlap"
    MISFIRE = "misfire"
    BLACKOUT = "blackout"
    EXPIRED = "expired"
    QUOTA = "quota"
    NO_SUCH_JOB = "no-such-job"
    UPSTREAM = "upstream"


def require(ask: Ask, state: RunState, run: str) -> None:
    """Refuse what the run's state does not allow. Raises IllegalTransition with what would be allowed."""
    if state not in ASKS[ask]:
        allowed = ", ".join(other.value for other, states in ASKS.items() if state in states)
        raise IllegalTransition(f"run {run} is {state.value}, so `{ask.value}` does nothing for it. It allows: {allowed}.")


def step(state: RunState, move: Move, run: str = "?", history: Sequence[str] = ()) -> RunState:
    """The state after a move. Raises IllegalTransition, which tells the run's history."""
    try:
        return TRANSITIONS[state, move]
    except KeyError:
        allowed = ", ".join(m for s, m in TRANSITIONS if s is state) or "nothing: it is final"
        story = " -> ".join([*history, state])
        raise IllegalTransition(f"run {run} can't {move} while {state}; allowed: {allowed}. So far: {story}.") from None

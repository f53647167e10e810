"""The transition table is the law: terminal is final, and every other state can end."""

from __future__ import annotations

import pytest

from backbeat.core.state import NEVER_RAN, TERMINAL, TRANSITIONS, UNFINISHED, Move, RunState, step
from backbeat.errors import IllegalTransition


def test_every_unfinished_state_can_reach_an_end() -> None:
    reaches = {state for state in RunState if state in TERMINAL}
    grown = True
    while grown:
        more = {state for (state, _), after in TRANSITIONS.items() if after in reaches} - reaches
        reaches |= more
        grown = bool(more)

    assert reaches >= UNFINISHED


def test_a_run_that_succeeded_cannot_move() -> None:
    for move in Move:
        with pytest.raises(IllegalTransition, match="it is final"):
            step(RunState.SUCCEEDED, move)


def test_an_illegal_move_tells_the_story_of_the_run() -> None:
    with pytest.raises(IllegalTransition, match=r"run r:1 can't claim while running; .*So far: queued -> running"):
        step(RunState.RUNNING, Move.CLAIM, "r:1", ["queued"])


def test_what_never_ran_is_terminal() -> None:
    assert NEVER_RAN <= TERMINAL

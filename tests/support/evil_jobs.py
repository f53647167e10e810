"""Jobs that do to their process what a job should not do; each says how its run has to end."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from typing import Any

from backbeat import current_run, job

CASES: dict[str, tuple[str, str]] = {}
"""Job name -> the state in which its run must end, and a piece of what must be told about it."""


def ends(state: str, told: str = "") -> Any:
    """A job that must end so."""

    def define(function: Any) -> Any:
        name = f"evil.{function.__name__}"
        CASES[name] = (state, told)
        # Only in a deployment's own processes: the tests need the names alone.
        return job(name)(function) if "EFFECTS" in os.environ else function

    return define


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("not even that")


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("I won't say")

    __repr__ = __str__


class Wants(Exception):
    """Can't be pickled and read again."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__("wants two")


class Base(BaseException):
    """No Exception at all."""


@ends("succeeded", "no JSON")
def returns_an_object() -> Any:
    return Unprintable()


@ends("succeeded", "no JSON")
def returns_nan() -> Any:
    return {"mean": float("nan")}


@ends("succeeded", "no JSON")
def returns_what_holds_itself() -> Any:
    itself: list[Any] = []
    itself.append(itself)
    return itself


@ends("succeeded", "no JSON")
def returns_something_too_deep() -> Any:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    return deep


@ends("succeeded", "not kept")
def returns_ten_megabytes() -> Any:
    return "x" * 10_000_000


@ends("succeeded", "ud800")
def returns_half_a_character() -> Any:
    return "\ud800"


@ends("succeeded", "u0000")
def returns_a_nul() -> Any:
    return "a\0b"


@ends("failed", "its __str__ raised RuntimeError")
def raises_what_can_not_be_shown() -> None:
    raise Mute


@ends("failed", "wants two")
def raises_what_can_not_be_pickled() -> None:
    raise Wants(1, 2)


@ends("failed", "half")
def raises_half_a_character() -> None:
    raise ValueError("half \ud800 and nul \0")


@ends("failed", "all of it")
def raises_memory_error() -> None:
    raise MemoryError("all of it")


@ends("failed", "SystemExit")
def exits() -> None:
    sys.exit(3)


@ends("failed", "KeyboardInterrupt")
def interrupts() -> None:
    raise KeyboardInterrupt


@ends("failed", "bottom")
def raises_no_exception() -> None:
    raise Base("bottom")


@ends("failed", "recursion")
def calls_itself() -> None:
    _down()


def _down() -> None:
    _down()


@ends("failed", "two at once")
def raises_a_group() -> None:
    raise ExceptionGroup("two at once", [ValueError("one"), Mute()])


@ends("failed", "x" * 100)
def raises_ten_megabytes() -> None:
    raise ValueError("x" * 10_000_000)


@ends("succeeded")
def forks_and_both_return() -> str:
    child = os.fork()
    if child:
        os.waitpid(child, 0)
    return "parent"


@ends("succeeded")
def forks_and_the_copy_raises() -> str:
    child = os.fork()
    if not child:
        raise ValueError("in the copy")
    os.waitpid(child, 0)
    return "parent"


@ends("succeeded")
def closes_its_output() -> None:
    sys.stdout.close()
    for number in (1, 2):
        os.close(number)


@ends("succeeded")
def closes_every_file() -> None:
    os.closerange(3, 1024)


@ends("succeeded")
def leaves_a_thread_behind() -> None:
    threading.Thread(target=time.sleep, args=(3600,)).start()


@ends("succeeded")
def ignores_signals() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)


@ends("succeeded", "lines cut")
def logs_ten_megabytes() -> None:
    for number in range(10_000):
        current_run().log.info("%d %s", number, "y" * 1000)


@ends("succeeded", "nul")
def logs_what_no_database_takes() -> None:
    current_run().log.info("nul \0 and half \ud800")


@ends("quarantined", "exitcode 7")
def exits_at_once() -> None:
    os._exit(7)


@ends("quarantined", "SIGSEGV")
def reads_where_nothing_is() -> None:
    ctypes.string_at(0)


@ends("quarantined", "SIGKILL")
def kills_itself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)

"""What every worker does for a job in `bench-worker`: append its number to a file, which is then counted."""

import os
import time
from collections.abc import Callable

_file = os.open(os.environ["EFFECTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def effect(number: int) -> None:
    """One line, in one write, so that processes do not mix theirs."""
    os.write(_file, b"%d\n" % number)


def stamp(number: int) -> None:
    """One line that also tells when the job began, by the clock that all processes of a machine share."""
    os.write(_file, b"%d %d\n" % (number, time.monotonic_ns()))


def trips(send: Callable[[int], object], count: int) -> None:
    """Ask for jobs one at a time, so slowly that none waits for another; print when each was asked for, and when it was sent."""
    for number in range(count):
        asked = time.monotonic_ns()
        send(number)
        print(number, asked, time.monotonic_ns())
        time.sleep(0.02)

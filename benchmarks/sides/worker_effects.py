"""What every worker does for a job in `bench-worker`: append its number to a file, which is then counted."""

import os

_file = os.open(os.environ["EFFECTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def effect(number: int) -> None:
    """One line, in one write, so that processes do not mix theirs."""
    os.write(_file, b"%d\n" % number)

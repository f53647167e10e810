"""What a person sees: one line a message, in colour on a terminal; the processes' own lines there or in files."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import IO

from honcho.printer import Message, Printer

OURS = "backbeat"
_KEEP_BYTES = 5_000_000


class Output(Printer):  # type: ignore[misc] # honcho has no types
    """Honcho's printer; when quiet, the lines of the processes go to `<logs>/<process>.log` only."""

    def __init__(self, logs: Path, quiet: bool) -> None:
        super().__init__(sys.stdout, width=len(OURS))
        self.logs, self.quiet = logs, quiet
        logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._files: dict[str, IO[str]] = {}

    def write(self, message: Message) -> None:
        """Print or file one message."""
        if self.quiet and message.name != OURS:
            self._file(message)
            return
        # A closed terminal or pipe must not stop what we run; the signal that comes with it does.
        with contextlib.suppress(BrokenPipeError, OSError):
            super().write(message)

    def tail(self, name: str, lines: int = 15) -> str:
        """The end of a process's log."""
        path = self.logs / f"{name}.log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""

    def _file(self, message: Message) -> None:
        file = self._files.get(message.name)
        if file is None or file.tell() > _KEEP_BYTES:
            file = self._files[message.name] = (self.logs / f"{message.name}.log").open("w", buffering=1)
        data = message.data
        file.write(data.decode(errors="replace") if isinstance(data, bytes) else data)

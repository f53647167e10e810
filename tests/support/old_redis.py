"""The answers of a Redis 5 to a client's greeting, since no package registry has that server any more."""

from __future__ import annotations

import socketserver


class OldRedis(socketserver.StreamRequestHandler):
    """Refuses HELLO in the words of Redis 5 and answers nothing else."""

    def handle(self) -> None:
        """Read commands and refuse each."""
        while head := self.rfile.readline():
            words = [self._word() for _ in range(int(head[1:]))]
            self.wfile.write(f"-ERR unknown command `{words[0]}`, with args beginning with: \r\n".encode())

    def _word(self) -> str:
        length = int(self.rfile.readline()[1:])
        return self.rfile.read(length + 2)[:-2].decode()

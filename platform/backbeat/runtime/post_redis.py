"""Letters for a Redis broker that is not the ledger's own server and database: a batch is one transaction there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from backbeat.store.outbox import Letter


class RedisPost:
    """Sends batches of letters. A batch whose answer got lost is sent again: claims refuse what came twice."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.connection: Any = None

    def send(self, letters: Sequence[Letter]) -> list[Letter]:
        """Send them all, or raise."""
        if self.connection is None:
            self.connection = self._app.connection_for_write()
        pipe = self.connection.default_channel.client.pipeline(transaction=True)
        for letter in letters:
            pipe.lpush(letter.queue, letter.message)
        pipe.execute()
        return list(letters)

    def close(self) -> None:
        """Forget the connection; the next letters make a new one."""
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.release()

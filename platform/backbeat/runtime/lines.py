"""Whether messages stand in line in a queue, whichever the broker. An answer holds for one step of the reaper."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any

from amqp.exceptions import AMQPError, ChannelError

from backbeat.store.ledger import Waiting
from backbeat.store.store import Store

log = logging.getLogger("backbeat.keeper")


class Lines:
    """Lines on the ledger's own Redis, where a queue is a list."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, bool] = {}

    def fresh(self) -> None:
        """Forget the answers of the last step."""
        self._known.clear()

    def holds(self, seen: Waiting) -> bool:
        """Whether a run's message may well be in its queue still, behind others or unseen by a worker."""
        queue = seen.fields["q"]
        if queue not in self._known:
            self._known[queue] = self._ask(queue)
        return self._known[queue]

    def close(self) -> None:
        """Leave the broker."""

    def _ask(self, queue: str) -> bool:
        return int(self._store.slots.client.llen(queue)) > 0


class BrokerLines(Lines):
    """Lines on a broker of its own, RabbitMQ or another Redis, and in the outbox before it."""

    def __init__(self, store: Store, app: Any) -> None:
        super().__init__(store)
        self._app = app
        self._connection: Any = None

    def holds(self, seen: Waiting) -> bool:
        """As above; a letter that the broker has not taken yet is in line too."""
        outbox = self._store.slots.of(seen.run_id).outbox
        if outbox not in self._known:
            self._known[outbox] = int(self._store.slots.client.xlen(outbox)) > 0
        return self._known[outbox] or super().holds(seen)

    def close(self) -> None:
        """Leave the broker; the next question makes a new connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(OSError, AMQPError):
                connection.close()

    def _ask(self, queue: str) -> bool:
        try:
            if self._connection is None:
                # Without heartbeats: nobody reads between two questions.
                self._connection = self._app.connection(heartbeat=0)
            # Asking by name only: what does not exist shall not be made by a question.
            return bool(self._connection.default_channel.queue_declare(queue, passive=True).message_count)
        except ChannelError as error:
            # RabbitMQ's own 404, and kombu's imitation of it.
            return str(error.reply_code) != "404"
        except (OSError, AMQPError) as error:
            log.warning("the broker does not say what is in queue %s: %s", queue, error)
            self.close()
            # Nothing can be sent to it now, so there is no use in another letter.
            return True


def lines_of(app: Any, store: Store) -> Lines:
    """The lines of this deployment's broker."""
    return Lines(store) if store.slots.direct else BrokerLines(store, app)

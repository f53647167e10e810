"""From the outbox to RabbitMQ: persistent, mandatory, confirmed in batches. What is not confirmed stays in the outbox."""

from __future__ import annotations

import json
import logging
import time
from base64 import b64decode
from collections.abc import Sequence
from typing import Any

import amqp

from backbeat.store.outbox import Letter, Outbox

log = logging.getLogger("backbeat.keeper")

BATCH = 500
BLOCK_MS = 1_000
CONFIRM_TIMEOUT = 10.0
ABANDONED_AFTER_MS = 30_000


class Publisher:
    """Reads the outbox, publishes, waits for the confirms, trims."""

    def __init__(self, app: Any, outbox: Outbox) -> None:
        self._app = app
        self._outbox = outbox
        self._connection: Any = None
        self._channel: Any = None
        self._waiting: dict[int, Letter] = {}
        self._confirmed: list[Letter] = []
        self._returned: set[str] = set()

    def begin(self) -> None:
        """Create the consumer group."""
        self._outbox.prepare()

    def step(self) -> int:
        """Publish one batch; returns how many messages the broker confirmed. Raises when it can't be reached: they stay."""
        letters = self._outbox.read(BATCH, BLOCK_MS) or self._outbox.abandoned(BATCH, ABANDONED_AFTER_MS)
        if not letters:
            return 0
        try:
            return self._publish(letters)
        except Exception:
            self.close()
            raise

    def close(self) -> None:
        """Forget the connection; the next step makes a new one."""
        if self._connection is not None:
            self._connection.close()
        self._connection = self._channel = None

    def _publish(self, letters: Sequence[Letter]) -> int:
        channel = self._open()
        self._waiting, self._confirmed, self._returned = {}, [], set()
        for queue in {letter.queue for letter in letters}:
            self._app.amqp.queues[queue](channel).declare()
        for letter in letters:
            channel.basic_publish(amqp_message(letter.message), exchange="", routing_key=letter.queue, mandatory=True)
            self._tag += 1
            self._waiting[self._tag] = letter
        deadline = time.monotonic() + CONFIRM_TIMEOUT
        while self._waiting and time.monotonic() < deadline:
            self._connection.drain_events(timeout=max(0.1, deadline - time.monotonic()))
        self._outbox.sent(self._confirmed)
        if self._waiting:
            raise TimeoutError(f"{len(self._waiting)} of {len(letters)} messages were not confirmed within {CONFIRM_TIMEOUT:g} s")
        return len(self._confirmed)

    def _open(self) -> Any:
        if self._channel is None:
            self._connection = self._app.connection_for_write()
            self._channel = channel = self._connection.channel()
            channel.confirm_select()
            self._tag = 0
            channel.events["basic_ack"].add(self._on_ack)
            channel.events["basic_nack"].add(self._on_nack)
            channel.events["basic_return"].add(self._on_return)
        return self._channel

    def _settle(self, tag: int, *, multiple: bool, confirmed: bool) -> None:
        tags = [known for known in self._waiting if known <= tag] if multiple else [tag]
        letters = [self._waiting.pop(known) for known in tags if known in self._waiting]
        if confirmed:
            self._confirmed += [one for one in letters if _run_id(one) not in self._returned]

    def _on_ack(self, tag: int, multiple: bool) -> None:
        self._settle(tag, multiple=multiple, confirmed=True)

    def _on_nack(self, tag: int, multiple: bool) -> None:
        # Refused (a full queue, say): it stays in the outbox, and is taken up again once it counts as abandoned.
        self._settle(tag, multiple=multiple, confirmed=False)

    def _on_return(self, *details: Any) -> None:
        # A returned message is confirmed all the same; it went nowhere, so it must stay in the outbox.
        message = details[-1]
        run_id = str(message.properties.get("correlation_id"))
        self._returned.add(run_id)
        log.error("run %s: no queue took its message (%s)", run_id, details[1:4])


def _run_id(letter: Letter) -> str:
    return str(json.loads(letter.message)["properties"]["correlation_id"])


def amqp_message(text: str) -> Any:
    """The AMQP message of an envelope: the same headers, body and properties in RabbitMQ's own form."""
    envelope = json.loads(text)
    properties = envelope["properties"]
    return amqp.Message(
        b64decode(envelope["body"]),
        application_headers=envelope["headers"],
        content_type=envelope["content-type"],
        content_encoding=envelope["content-encoding"],
        correlation_id=properties["correlation_id"],
        reply_to=properties["reply_to"],
        delivery_mode=2,
    )

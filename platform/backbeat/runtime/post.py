"""A channel to RabbitMQ on which everything sent is persistent, mandatory and confirmed."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import amqp
from amqp.exceptions import PreconditionFailed

from backbeat.runtime.amqp_frames import frames_of
from backbeat.store.outbox import Letter

log = logging.getLogger("backbeat.keeper")

CONFIRM_TIMEOUT = 10.0
"""Seconds for which the broker may keep a batch waiting: it may be short of memory, and then takes nothing."""
AT_ONCE = 32
"""Letters a call of the kernel."""


class Post:
    """Sends batches of letters and tells which of them arrived. Not safe for more than one thread."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.connection: Any = None
        self._channel: Any = None
        self._tag = 0
        self._waiting: dict[int, Letter] = {}
        self._confirmed: list[Letter] = []
        self._returned: set[str] = set()
        # Declaring costs two answers of the broker; a queue that is gone makes itself known by a returned letter.
        self._declared: set[str] = set()

    def send(self, letters: Sequence[Letter]) -> list[Letter]:
        """Send them all; those that the broker has taken into a queue. Raises when that can't be known of some."""
        self._waiting, self._confirmed, self._returned = {}, [], set()
        for queue in {letter.queue for letter in letters} - self._declared:
            self._declare(queue)
        self._write(letters)
        deadline = time.monotonic() + CONFIRM_TIMEOUT
        while self._waiting:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"{len(self._waiting)} of {len(letters)} letters were not confirmed in {CONFIRM_TIMEOUT:g} s")
            self.connection.drain_events(timeout=left)
        return self._confirmed

    def close(self) -> None:
        """Forget the connection; the next letters make a new one."""
        connection, self.connection, self._channel = self.connection, None, None
        self._declared.clear()
        if connection is not None:
            with suppress(OSError, amqp.AMQPError):
                connection.close()

    def _write(self, letters: Sequence[Letter]) -> None:
        channel, amqp_connection = self._open(), self.connection.connection
        for start in range(0, len(letters), AT_ONCE):
            frames = []
            for letter in letters[start : start + AT_ONCE]:
                frames.append(frames_of(letter.message, letter.queue, channel.channel_id, amqp_connection.frame_max))
                self._tag += 1
                self._waiting[self._tag] = letter
            amqp_connection.transport.write(b"".join(frames))
            with suppress(TimeoutError):
                # A broker that sends letters back must not wait for us to read them, while we wait for it.
                while True:
                    self.connection.drain_events(timeout=0)

    def _open(self) -> Any:
        if self.connection is None:
            # Waiting for each confirm by itself, as Celery's own connections do, would be ten times slower. Without
            # heartbeats, because nobody reads while there is nothing to send: a dead peer shows at the next batch.
            options = {"confirm_publish": False, "write_timeout": CONFIRM_TIMEOUT}
            self.connection = self._app.connection(transport_options=options, heartbeat=0)
        if self._channel is None:
            self._channel = channel = self.connection.channel()
            self._tag = 0
            channel.confirm_select()
            channel.events["basic_ack"].add(self._on_ack)
            channel.events["basic_nack"].add(self._on_nack)
            channel.events["basic_return"].add(self._on_return)
        return self._channel

    def _declare(self, queue: str) -> None:
        try:
            self._app.amqp.queues[queue](self._open()).declare()
        except PreconditionFailed as error:
            # It is there, with other arguments than ours: somebody's choice, and letters reach it all the same.
            log.warning("queue %s is declared differently: %s", queue, error)
            # py-amqp opens the channel again by itself, but no longer in the mode in which the broker confirms.
            self._channel.close()
            self._channel = None
        self._declared.add(queue)

    def _settle(self, tag: int, *, multiple: bool) -> list[Letter]:
        tags = [known for known in self._waiting if known <= tag] if multiple else [tag]
        return [self._waiting.pop(known) for known in tags if known in self._waiting]

    def _on_ack(self, tag: int, multiple: bool) -> None:
        # A returned letter is confirmed all the same, and just before: it went nowhere.
        settled = self._settle(tag, multiple=multiple)
        if self._returned:
            settled = [letter for letter in settled if run_id_of(letter) not in self._returned]
        self._confirmed += settled

    def _on_nack(self, tag: int, multiple: bool) -> None:
        for letter in self._settle(tag, multiple=multiple):
            log.warning("queue %s refused a letter", letter.queue)

    def _on_return(self, _error: object, _exchange: str, queue: str, message: Any) -> None:
        self._declared.discard(queue)
        self._returned.add(str(message.properties.get("correlation_id")))
        log.warning("there is no queue %s (any more); it will be declared again", queue)


def run_id_of(letter: Letter) -> str:
    """The run that a letter is for."""
    return str(json.loads(letter.message)["properties"]["correlation_id"])

"""Scripts that are sent before the answers to earlier ones are read, so that the server never waits for the next question."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from redis import Redis
from redis.exceptions import NoScriptError, ResponseError

from backbeat.store.scripts import run_many
from backbeat.store.vitals import Call


class Conversation:
    """One connection for as long as the `with` lasts. Answers come in the order of the questions.

    What is sent at once must fit into the buffers between here and the server, since nobody reads meanwhile.
    """

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._asked: deque[Sequence[Call]] = deque()

    def __enter__(self) -> Self:
        self._connection = self._client.connection_pool.get_connection()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._asked or error is not None:
            # The next to use this connection must not read answers to questions that it did not ask.
            self._connection.disconnect()  # type: ignore[no-untyped-call]  # redis-py says nothing of it
        self._client.connection_pool.release(self._connection)

    def ask(self, calls: Sequence[Call]) -> None:
        """Send scripts, and wait for nothing."""
        commands = [("EVALSHA", one.sha, len(keys), *keys, *argv) for one, keys, argv in calls]
        packed = self._connection.pack_commands(commands)  # type: ignore[no-untyped-call]  # as above
        # redis-py's own question whether the connection lives would take an answer of ours for its own.
        self._connection.send_packed_command(packed, check_health=not self._asked)  # type: ignore[no-untyped-call]  # as above
        self._asked.append(calls)

    def answer(self) -> list[Any]:
        """The answers to the oldest question. A server that does not know the scripts is taught them, and asked again."""
        calls = self._asked.popleft()
        replies = [self._read() for _ in calls]
        for number, reply in enumerate(replies):
            if isinstance(reply, NoScriptError):
                # Not run, so it is safe to send again.
                replies[number] = run_many(self._client, [calls[number]])[0]
            elif isinstance(reply, ResponseError):
                raise reply
        return replies

    def _read(self) -> Any:
        try:
            return self._connection.read_response()
        except ResponseError as error:
            return error

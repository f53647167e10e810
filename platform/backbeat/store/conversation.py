"""Scripts that are sent before the answers to earlier ones are read, so that the server never waits for the next question."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from redis import Redis
from redis.connection import ConnectionPool
from redis.exceptions import MovedError, NoScriptError, ResponseError

from backbeat.store.cluster import pool_of, sorted_out
from backbeat.store.scripts import Call, run_many


class Conversation:
    """One connection (a cluster: one a master) for as long as the `with` lasts. Answers come in the order of the questions.

    What is sent at once must fit into the buffers between here and the server, since nobody reads meanwhile.
    """

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._connections: dict[ConnectionPool, Any] = {}
        self._asked: deque[tuple[Any, Sequence[Call]]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for pool, connection in self._connections.items():
            if self._asked or error is not None:
                # The next to use this connection must not read answers to questions that it did not ask.
                connection.disconnect()
            pool.release(connection)

    def ask(self, calls: Sequence[Call]) -> None:
        """Send scripts, all for one slot, and wait for nothing."""
        connection = self._connection_to(calls[0][1][0])
        packed = connection.pack_commands([one.command(keys, argv) for one, keys, argv in calls])
        # redis-py's own question whether the connection lives would take an answer of ours for its own.
        waiting = any(other is connection for other, _ in self._asked)
        connection.send_packed_command(packed, check_health=not waiting)
        self._asked.append((connection, calls))

    def answer(self) -> list[Any]:
        """The answers to the oldest question. A server that does not know the scripts is taught them, and asked again."""
        connection, calls = self._asked.popleft()
        replies = [_read(connection) for _ in calls]
        for number, reply in enumerate(replies):
            if isinstance(reply, (NoScriptError, MovedError)):
                # Not run, so it is safe to send again.
                replies[number] = run_many(self._client, [calls[number]])[0]
            elif isinstance(reply, ResponseError):
                raise reply
        return replies

    def _connection_to(self, key: str) -> Any:
        pool = pool_of(self._client, key)
        if pool not in self._connections:
            self._connections[pool] = pool.get_connection()
        return self._connections[pool]


def asked_later(client: Redis, calls: Sequence[Call]) -> Callable[[], list[Any]]:
    """Send scripts, all for one slot. What is returned waits for their answers, gives them, and can be called once."""
    with ExitStack() as failed:
        talk = failed.enter_context(Conversation(client))
        talk.ask(calls)
        failed.pop_all()

    def answers() -> list[Any]:
        with talk:
            return talk.answer()

    return answers


def _read(connection: Any) -> Any:
    try:
        return connection.read_response()
    except ResponseError as error:
        return sorted_out(error)

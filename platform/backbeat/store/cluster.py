"""A Redis Cluster, asked like one server: each command goes to the master that has its key, many at a time.

redis-py's own client for clusters won't do here: it connects when it is made, so that no process could start while the cluster
is away; it repeats what may have happened; and it takes no scripts into its pipelines.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlsplit

from redis import Redis
from redis.client import Pipeline
from redis.connection import ConnectionPool
from redis.crc import key_slot
from redis.exceptions import (
    AskError,
    ClusterDownError,
    ConnectionError,  # noqa: A004 - redis-py's own name
    MovedError,
    ReadOnlyError,
    ResponseError,
    TimeoutError,  # noqa: A004 - as above
    TryAgainError,
)

Command = Sequence[Any]
Address = tuple[str, int]
_Lines = dict[ConnectionPool, tuple[Any, list[int]]]
"""The connection to a master, and the numbers of the blocks that it is asked."""

REDIRECTIONS = 5
"""How often a command is sent on to where its key is said to be."""
_KEYLESS = frozenset({"TIME", "INFO", "PING", "SCRIPT LOAD", "MULTI", "EXEC", "CONFIG GET"})


class Cluster(Redis):
    """A client of a cluster of which some `nodes` are known; `options` are those of redis-py's connections.

    It never repeats what may have happened. A master that does not answer makes every question to it a ConnectionError, unless
    somebody else has its slots by now.
    """

    def __init__(self, nodes: Sequence[Address], **options: Any) -> None:
        self._options = options
        self._pools: dict[Address, ConnectionPool] = {}
        self._nodes = list(nodes)
        self._masters: list[Address | None] | None = None
        """By slot."""
        super().__init__(connection_pool=self._pool_at(nodes[0]))

    def pool(self, key: str | bytes | None) -> ConnectionPool:
        """Connections to the master that has a key; without a key, to the same master for everybody."""
        slot = _slot(key)
        address = self._map()[slot]
        if address is None:
            self.look_again()
            raise ConnectionError(f"no node of the cluster has slot {slot}")
        return self._pool_at(address)

    def look_again(self) -> None:
        """Believe no longer that slots are where they were."""
        self._masters = None

    def masters(self) -> list[Redis]:
        """A client of each master."""
        addresses = sorted({address for address in self._map() if address})
        return [Redis(connection_pool=self._pool_at(address)) for address in addresses]

    def together(self, blocks: Sequence[Sequence[Command]]) -> list[list[Any]]:
        """The answers to blocks of commands; the commands of one block have keys of one slot, and travel in one piece.

        All masters are asked at once. Errors of commands are among the answers.
        """
        answers: list[list[Any]] = [[] for _ in blocks]
        left = list(range(len(blocks)))
        for _ in range(REDIRECTIONS):
            self._ask({number: blocks[number] for number in left}, answers)
            gone = {number: one for number in left for one in answers[number] if isinstance(one, (MovedError, ReadOnlyError))}
            if not gone:
                return answers
            # Not done there, so it is safe to send them to where they belong. Who has got a slot knows it before the others do.
            knowing = [(error.host, error.port) for error in gone.values() if isinstance(error, MovedError) and error.host]
            self._nodes = list(dict.fromkeys([*knowing, *self._nodes]))
            self.look_again()
            left = list(gone)
        raise ConnectionError("the cluster does not say where a slot is")

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Called by redis-py's methods for single commands."""
        return self._read(args, self.together([[args]])[0][0], options)

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:  # noqa: ARG002 - redis-py's signature
        """Commands that travel together; with `transaction` their keys must lie in one slot."""
        return _ClusterPipeline(self, transaction)

    def close(self) -> None:
        """Leave every node."""
        for pool in self._pools.values():
            pool.disconnect()

    def _ask(self, blocks: dict[int, Sequence[Command]], answers: list[list[Any]]) -> None:
        lines = self._lines(blocks)
        try:
            for connection, numbers in lines.values():
                connection.send_packed_command(connection.pack_commands([one for number in numbers for one in blocks[number]]))
            for connection, numbers in lines.values():
                for number in numbers:
                    answers[number] = [_answer(connection) for _ in blocks[number]]
        except BaseException as error:
            if isinstance(error, (ConnectionError, TimeoutError)):
                self.look_again()
            # The next to use one of them must not read answers to questions that it did not ask.
            for connection, _ in lines.values():
                connection.disconnect()
            raise
        finally:
            _hang_up(lines)

    def _lines(self, blocks: dict[int, Sequence[Command]]) -> _Lines:
        """A connection to each master that is asked. Where one can't be had, somebody else may have its slots by now."""
        try:
            return self._connected(blocks)
        except (ConnectionError, TimeoutError):
            before, self._masters = self._masters, None
            if self._map() == before:
                self.look_again()
                raise
        return self._connected(blocks)

    def _connected(self, blocks: dict[int, Sequence[Command]]) -> _Lines:
        lines: _Lines = {}
        try:
            for number, block in blocks.items():
                pool = self.pool(_key_of(block))
                if pool not in lines:
                    lines[pool] = pool.get_connection(), []
                lines[pool][1].append(number)
        except BaseException:
            _hang_up(lines)
            raise
        return lines

    def _map(self) -> list[Address | None]:
        # In one look at it: another thread may find out meanwhile that it holds no longer.
        masters = self._masters
        if masters is None:
            masters = self._masters = self._look()
        return masters

    def _look(self) -> list[Address | None]:
        """Which master has which slot, by the first node that knows. One that does not answer is asked last from now on."""
        failure: Exception = ConnectionError("no node of the cluster is known")
        for address in list(self._nodes):
            try:
                return self._told(address)
            except (ConnectionError, TimeoutError, ResponseError) as error:
                failure = error
                self._nodes = [*(one for one in self._nodes if one != address), address]
        raise failure if isinstance(failure, (ConnectionError, TimeoutError)) else ConnectionError(f"not a cluster: {failure}")

    def _told(self, address: Address) -> list[Address | None]:
        ranges = Redis(connection_pool=self._pool_at(address)).execute_command("CLUSTER", "SLOTS")  # type: ignore[no-untyped-call]  # redis-py says nothing of it
        masters: list[Address | None] = [None] * 16384
        found: dict[Address, None] = {}
        for first, last, *nodes in ranges:
            # A node that does not know its own name leaves that out.
            places = [(str(node[0] or address[0]), int(node[1])) for node in nodes]
            masters[int(first) : int(last) + 1] = [places[0]] * (int(last) - int(first) + 1)
            found |= dict.fromkeys(places)
        self._nodes = list(found | dict.fromkeys(self._nodes))
        return masters

    def _pool_at(self, address: Address) -> ConnectionPool:
        known = self._pools.get(address)
        return known or self._pools.setdefault(address, ConnectionPool(host=address[0], port=address[1], **self._options))

    def _read(self, args: Command, answer: Any, options: dict[str, Any]) -> Any:
        """An answer as redis-py's methods give it."""
        if isinstance(answer, ResponseError):
            raise answer
        options.pop("keys", None)
        read = self.response_callbacks.get(str(args[0]))  # type: ignore[no-untyped-call]  # as above
        return answer if read is None else read(answer, **options)


class _ClusterPipeline(Pipeline):
    def __init__(self, cluster: Cluster, transaction: bool) -> None:
        super().__init__(cluster.connection_pool, cluster.response_callbacks, transaction, None)
        self._cluster = cluster
        self._whole = transaction

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        """Send what was noted; the answers, in order."""
        noted, self.command_stack = self.command_stack, []
        commands = [args for args, _ in noted]
        if not commands:
            return []
        if self._whole:
            if len({_slot(_key_of([command])) for command in commands}) > 1:
                raise ValueError(f"a transaction needs keys of one slot; got {commands}")
            *refused, answers = self._cluster.together([[("MULTI",), *commands, ("EXEC",)]])[0]
            if isinstance(answers, Exception):
                raise next((one for one in refused if isinstance(one, Exception)), answers)
        else:
            answers = [answer for (answer,) in self._cluster.together([[command] for command in commands])]
        if raise_on_error and (errors := [answer for answer in answers if isinstance(answer, ResponseError)]):
            raise errors[0]
        return [
            answer if isinstance(answer, Exception) else self._cluster._read(args, answer, options)  # noqa: SLF001 - its own pipeline
            for (args, options), answer in zip(noted, answers, strict=True)
        ]


def servers(client: Redis) -> list[Redis]:
    """A client of each server that holds a part of what `client` reaches: one, or a cluster's masters."""
    return client.masters() if isinstance(client, Cluster) else [client]


def pool_of(client: Redis, key: str) -> ConnectionPool:
    """Connections to the server that has a key."""
    return client.pool(key) if isinstance(client, Cluster) else client.connection_pool


def nodes_in(url: str) -> list[Address]:
    """The nodes of `redis+cluster://user:password@host:port,host:port`. Raises ValueError for a port that is no number."""
    hosts = urlsplit(url).netloc.rpartition("@")[2]
    parts = [urlsplit(f"//{one}") for one in hosts.split(",")]
    return [(part.hostname or "127.0.0.1", part.port or 6379) for part in parts]


def sorted_out(answer: Any) -> Any:
    """An answer; or, in place of what a cluster says while it finds itself anew, an outage, which ends by itself."""
    if isinstance(answer, (ClusterDownError, TryAgainError, AskError)) and not isinstance(answer, MovedError):
        raise ConnectionError(str(answer))
    return answer


def _hang_up(lines: _Lines) -> None:
    for pool, (connection, _) in lines.items():
        pool.release(connection)


def _answer(connection: Any) -> Any:
    try:
        return connection.read_response()
    except ResponseError as error:
        return sorted_out(error)


def _slot(key: str | bytes | None) -> int:
    return 0 if key is None else key_slot(key.encode() if isinstance(key, str) else key)


def _key_of(block: Iterable[Command]) -> str | bytes | None:
    for name, *rest in block:
        if name in ("EVALSHA", "EVAL"):
            return rest[2]  # type: ignore[no-any-return]  # a command holds anything
        if name == "XREADGROUP":
            return rest[rest.index("STREAMS") + 1]  # type: ignore[no-any-return]  # as above
        if name not in _KEYLESS:
            return rest[0]  # type: ignore[no-any-return]  # as above
    return None

"""Lua scripts as files. Each opens with its signature; the caller is checked against it.

-- KEYS: run, timers | ARGV: prefix, run_id | returns: {won, now}
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import Any

from redis import Redis
from redis.exceptions import NoScriptError, ResponseError

from backbeat.store.cluster import Cluster, servers

PARTS = frozenset({"claiming", "clock", "common", "dag", "dag_seldom", "finishing", "gate"})
"""Files that other scripts include; they can't be called."""
_HEADER = re.compile(r"^-- KEYS: (?P<keys>[^|]*) \| ARGV: (?P<argv>[^|]*) \| returns: (?P<returns>.+)$")
_INCLUDE = re.compile(r"^-- include: (\w+)$", re.MULTILINE)


class Script:
    """One Lua file. Call it on a client for the reply."""

    def __init__(self, name: str) -> None:
        self.name = name
        source = _read(name)
        header = _HEADER.match(source.splitlines()[0])
        if header is None:
            raise ValueError(f"lua/{name}.lua: expected the first line '-- KEYS: … | ARGV: … | returns: …'.")
        self.keys = _names(header["keys"])
        self.argv = _names(header["argv"])
        self.source = _whole(source)
        # The server names scripts by this hash; it protects nothing.
        self.sha = sha1(self.source.encode(), usedforsecurity=False).hexdigest()

    def __call__(self, client: Redis, keys: Sequence[str], argv: Sequence[Any]) -> Any:
        try:
            return asked(client, *self.command(keys, argv))
        except NoScriptError:
            # Not run, so it is safe to send again: a restarted server has forgotten its scripts.
            return asked(client, "EVAL", self.source, len(keys), *keys, *argv)

    def command(self, keys: Sequence[str], argv: Sequence[Any]) -> tuple[Any, ...]:
        """What the server is sent. Raises TypeError when the signature wants other keys or arguments."""
        self._check("KEYS", self.keys, keys)
        self._check("ARGV", self.argv, argv)
        return "EVALSHA", self.sha, len(keys), *keys, *argv

    def _check(self, what: str, names: Sequence[str], given: Sequence[Any]) -> None:
        open_ended = bool(names) and names[-1] == "..."
        wanted = len(names) - open_ended
        if len(given) < wanted or (len(given) > wanted and not open_ended):
            raise TypeError(f"lua/{self.name}.lua: expected {what} {', '.join(names) or 'none'}; got {len(given)}.")


def asked(client: Redis, *command: Any) -> Any:
    """The answer to one command; see `asked_together`."""
    return asked_together(client, [command])[0]


def asked_together(client: Redis, commands: Sequence[Sequence[Any]]) -> list[Any]:
    """The answers to commands that travel together, by redis-py's connection alone. Raises the first error among them.

    What lies around it in redis-py (its retries, which we don't use, and its own metering) takes longer than the connection, and
    every run pays for it several times.
    """
    answers = _exchange(client, commands)
    for answer in answers:
        if isinstance(answer, ResponseError):
            raise answer
    return answers


def asked_on(client: Redis, command: Sequence[Any], more: Callable[[Any], bool]) -> None:
    """Ask the same for as long as `more` says so of an answer. The next question is under way by then, so one answer follows.

    Raises what the server answers. Not for a cluster.
    """
    pool = client.connection_pool
    connection: Any = pool.get_connection()
    try:
        packed = connection.pack_commands([command])
        connection.send_packed_command(packed)
        wanted = True
        while wanted:
            # No look at the connection's health: its answer would come among the others.
            connection.send_packed_command(packed, check_health=False)
            wanted = more(connection.read_response())
        more(connection.read_response())
    except BaseException:
        connection.disconnect()
        raise
    finally:
        pool.release(connection)


def _exchange(client: Redis, commands: Sequence[Sequence[Any]]) -> list[Any]:
    """The answers, errors of commands among them."""
    if isinstance(client, Cluster):
        return [answer for (answer,) in client.together([[command] for command in commands])]
    pool = client.connection_pool
    connection = pool.get_connection()
    try:
        connection.send_packed_command(connection.pack_commands(commands))  # type: ignore[no-untyped-call]  # redis-py says nothing of it
        return [_answer(connection) for _ in commands]
    except BaseException:
        # A time limit may strike between question and answer; the next to use this connection must not read that answer.
        connection.disconnect()  # type: ignore[no-untyped-call]  # as above
        raise
    finally:
        pool.release(connection)


def _answer(connection: Any) -> Any:
    try:
        return connection.read_response()
    except ResponseError as error:
        return error


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip() and part.strip() != "none")


def _whole(source: str) -> str:
    """The source with its parts in place of their names; a part may have parts itself."""
    return _INCLUDE.sub(lambda match: _whole(_read(match[1])), source)


def _read(name: str) -> str:
    return files(__package__).joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")


@cache
def script(name: str) -> Script:
    """The script of that name, read once a process."""
    return Script(name)


def names() -> list[str]:
    """Every script that can be called: those with a signature. The others are parts that scripts include."""
    lua = files(__package__).joinpath("lua")
    found = (entry.name.removesuffix(".lua") for entry in lua.iterdir() if entry.name.endswith(".lua"))
    return sorted(name for name in found if _read(name).startswith("-- KEYS:"))


def load_all(client: Redis) -> None:
    """Make every script known to every server, so that pipelines can use them by hash."""
    for server in servers(client):
        pipe = server.pipeline(transaction=False)
        for name in names():
            pipe.script_load(script(name).source)
        pipe.execute()


Call = tuple[Script, Sequence[str], Sequence[Any]]
"""A script with its KEYS and its ARGV."""


def run_many(client: Redis, calls: Sequence[Call]) -> list[Any]:
    """Several scripts in one round trip, replies in order. A server that forgot them is taught, and asked again."""
    replies = _pipelined(client, calls)
    if any(isinstance(reply, NoScriptError) for reply in replies):
        load_all(client)
        again = [call for call, reply in zip(calls, replies, strict=True) if isinstance(reply, NoScriptError)]
        fresh = iter(_pipelined(client, again))
        replies = [next(fresh) if isinstance(reply, NoScriptError) else reply for reply in replies]
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return replies


def _pipelined(client: Redis, calls: Sequence[Call]) -> list[Any]:
    return _exchange(client, [one.command(keys, argv) for one, keys, argv in calls])

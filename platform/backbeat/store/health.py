"""Whether a Redis is one that state may be trusted to: reachable, new enough, never evicting, persistent.

Only INFO and TIME are asked, since CONFIG is closed on most hosted servers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import redis

from backbeat.errors import ConfigurationError, StoreUnavailable
from backbeat.store.cluster import servers

OLDEST = (6, 2)


@dataclass(frozen=True)
class Finding:
    """One thing that was checked; `cure` says what to do when it is not well."""

    name: str
    ok: bool
    detail: str
    cure: str = ""
    fatal: bool = False


def examine(client: redis.Redis) -> list[Finding]:
    """What is well and what is not on this server, or on each master of a cluster. Raises StoreUnavailable when one is away."""
    return [
        replace(finding, detail=f"{where}{finding.detail}")
        for where, facts in _facts(client)
        for finding in (_version(facts), _eviction(facts), _persistence(facts))
    ]


def require(client: redis.Redis) -> None:
    """Refuse a server that could lose or drop state silently.

    Raises ConfigurationError with every cure, StoreUnavailable when nothing answers. A server without persistence is
    let pass: it is a choice, and `backbeat doctor` names it.
    """
    bad = [finding for finding in examine(client) if finding.fatal and not finding.ok]
    if bad:
        raise ConfigurationError(" ".join(f"Redis {finding.name}: {finding.detail} {finding.cure}" for finding in bad))


def skew_ms(client: redis.Redis, wall_ms: int) -> int:
    """How many milliseconds this machine's clock (`wall_ms`, epoch) is ahead of the clock that decides, Redis TIME."""
    seconds, micros = client.time()
    return wall_ms - (int(seconds) * 1000 + int(micros) // 1000)


def _facts(client: redis.Redis) -> list[tuple[str, Mapping[str, Any]]]:
    """What each server says of itself, and where it is when there are several."""
    try:
        told: list[tuple[str, Mapping[str, Any]]] = []
        for server in servers(client):
            address = server.get_connection_kwargs()
            where = f"{address['host']}:{address['port']}: " if server is not client else ""
            told.append((where, server.info("everything")))
    except redis.ResponseError as error:
        if "HELLO" not in str(error):
            raise StoreUnavailable(f"Redis refuses INFO: {error}. Let this user run it.") from error
        # Servers before 6.0 do not know the greeting of the protocol that our client speaks.
        told = [("", {"redis_version": "5 or older"})]
    except redis.AuthenticationError as error:
        raise StoreUnavailable(f"Redis refuses the login: {error}. Put user and password into REDIS_URL.") from error
    except (redis.ConnectionError, redis.TimeoutError, OSError) as error:
        cure = "Start it, or point REDIS_URL at one that runs; `backbeat dev` brings its own."
        raise StoreUnavailable(f"Redis does not answer: {str(error).rstrip('.')}. {cure}") from error
    return told


def _version(facts: Mapping[str, Any]) -> Finding:
    got = str(facts.get("redis_version", "0"))
    parts = tuple(int(part) for part in re.findall(r"\d+", got)[:2])
    own = facts.get("valkey_version")
    oldest = ".".join(map(str, OLDEST))
    return Finding(
        "version",
        parts >= OLDEST,
        f"expected {oldest} or later; got {got}{f' (Valkey {own})' if own else ''}.",
        "Use a newer Redis or Valkey; the one that `backbeat dev` brings is new enough.",
        fatal=True,
    )


def _eviction(facts: Mapping[str, Any]) -> Finding:
    policy = str(facts.get("maxmemory_policy", "noeviction"))
    return Finding(
        "eviction",
        policy == "noeviction",
        f"expected maxmemory-policy noeviction; got {policy}.",
        "Run `CONFIG SET maxmemory-policy noeviction` and put it into the server's configuration: "
        "a server that evicts drops schedules and runs without a word.",
        fatal=True,
    )


def _persistence(facts: Mapping[str, Any]) -> Finding:
    kept = bool(int(facts.get("aof_enabled", 0)))
    return Finding(
        "persistence",
        kept,
        "the append-only file is on." if kept else "the append-only file is off: a restart can lose what happened lately.",
        "Run `CONFIG SET appendonly yes` and put it into the server's configuration.",
    )

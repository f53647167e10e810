"""RedBeat's own keys: its sorted set of entries, a hash for each, its lock. Read in bounded steps, written with care."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from backbeat.core.redbeat import BROKEN, Ran, meta_text, score
from backbeat.store.scripts import run_many, script

PAGE = 1000
"""Entries in one script or one round trip; some ten microseconds each for the server."""


@dataclass(frozen=True, slots=True)
class RawEntry:
    """One entry as it lies in Redis. `ours` is a field of our own, which RedBeat does not look at."""

    key: str
    definition: str | None
    meta: str | None = field(hash=False)
    """What RedBeat remembers of its fires; two readings that differ in nothing else are the same entry."""
    ours: str | None


class RedBeatStorage:
    """The entries that RedBeat's API saves. `client` is RedBeat's own connection, which may lead to another server."""

    FIELD = "backbeat"

    def __init__(self, client: Any, prefix: str = "redbeat:", lock: str | None = None) -> None:
        self._client = client
        self.prefix = prefix
        self._schedule = f"{prefix}:schedule"
        self._statics = f"{prefix}:statics"
        self._installed = f"{prefix}:backbeat"
        self.lock = lock

    def name_of(self, key: str) -> str:
        """The entry's name."""
        return key.removeprefix(self.prefix)

    def hold(self, token: str, ttl: float) -> tuple[bool, float]:
        """Take or renew RedBeat's lock for `ttl` seconds: whether it is ours, and the seconds it still runs.

        Without a lock (redbeat_lock_key = None) there is nothing to hold, and nobody to wait for.
        """
        if self.lock is None:
            return True, 0.0
        held, left = script("redbeat_hold")(self._client, [self.lock], [token, round(ttl * 1000)])
        return bool(int(held)), int(left) / 1000

    def release(self, token: str) -> None:
        """Give the lock up, so that a stock RedBeat need not wait for it."""
        if self.lock is not None and _text(self._client.get(self.lock)) == token:
            self._client.delete(self.lock)

    def holder(self) -> tuple[str, float]:
        """Who holds RedBeat's lock, "" for nobody, and for how many seconds more."""
        if self.lock is None:
            return "", 0.0
        return _text(self._client.get(self.lock)) or "", max(0, int(self._client.pttl(self.lock))) / 1000

    def mark(self, key: str, ours: str) -> None:
        """Set our own field of an entry, and let it count as saved."""
        place = self._client.zscore(self._schedule, key)
        pipe = self._client.pipeline()
        pipe.hset(key, self.FIELD, ours)
        pipe.zadd(self._schedule, {key: math.floor(place or 0)}, xx=True)
        pipe.execute()

    def changed(self) -> tuple[int, list[str]]:
        """How many entries there are, and the keys of those saved since the last look; they count as seen from now on."""
        total, keys = 0, []
        while True:
            seen, *found = script("redbeat_changed")(self._client, [self._schedule], [total, PAGE])
            total += int(seen)
            keys += [str(_text(key)) for key in found]
            if int(seen) < PAGE:
                return total, keys

    def all(self) -> list[str]:
        """Every entry's key."""
        # By cursor: a walk by ranks would miss entries that move meanwhile, and they would pass for deleted.
        return list({str(_text(key)): None for key, _ in self._client.zscan_iter(self._schedule, count=PAGE)})

    def load(self, keys: Sequence[str]) -> Iterator[RawEntry]:
        """The entries of these keys; one that is gone has no definition."""
        for at in range(0, len(keys), PAGE):
            chunk = keys[at : at + PAGE]
            try:
                yield from self._load(chunk)
            except UnicodeDecodeError:
                # One record that is no text: then each by itself, so that the others are read.
                for key in chunk:
                    yield self._load_one(key)

    def _load(self, keys: Sequence[str]) -> list[RawEntry]:
        pipe = self._client.pipeline(transaction=False)
        for key in keys:
            pipe.hmget(key, "definition", "meta", self.FIELD)
        found = zip(keys, pipe.execute(raise_on_error=False), strict=True)
        return [_broken(key, row) if isinstance(row, Exception) else RawEntry(key, *map(_text, row)) for key, row in found]

    def _load_one(self, key: str) -> RawEntry:
        try:
            return self._load([key])[0]
        except UnicodeDecodeError as error:
            return _broken(key, error)

    def tell(self, fires: Sequence[tuple[str, Ran, int | None]]) -> None:
        """Update what RedBeat shows of entries that fired: (key, last run and count, next time in epoch ms)."""
        for at in range(0, len(fires), PAGE):
            chunk = fires[at : at + PAGE]
            run_many(self._client, [(script("redbeat_ran"), [key], [meta_text(ran)]) for key, ran, _ in chunk])
            places = [part for key, _, following in chunk for part in (score(following), key)]
            script("redbeat_placed")(self._client, [self._schedule], places)

    def statics(self) -> set[str]:
        """The names of the entries that came from a configuration."""
        return {str(_text(name)) for name in self._client.smembers(self._statics)}

    def add_statics(self, names: Iterable[str]) -> None:
        """Note that entries came from a configuration."""
        if found := list(names):
            self._client.sadd(self._statics, *found)

    def forget_statics(self, names: Iterable[str]) -> None:
        """Delete entries that left the configuration."""
        for name in names:
            pipe = self._client.pipeline()
            pipe.zrem(self._schedule, self.prefix + name)
            pipe.delete(self.prefix + name)
            pipe.srem(self._statics, name)
            pipe.execute()

    def note_installed(self) -> None:
        """Note that a configuration was written."""
        self._client.set(self._installed, "1")

    def installed(self) -> bool:
        """Whether one was written here; a server that lost its data does not know."""
        return bool(self._client.exists(self._installed))


def _broken(key: str, error: Exception) -> RawEntry:
    """What stands for a key that holds no entry; an answer that only says that the server is busy or gone is raised."""
    if not isinstance(error, UnicodeDecodeError) and not str(error).startswith("WRONGTYPE"):
        raise error
    reason = f"expected a hash as RedBeat writes it; got something else ({error}). Delete it, or save the entry again."
    return RawEntry(key, BROKEN + reason, None, None)


def _text(value: Any) -> str | None:
    """RedBeat's connection to a cluster answers with bytes."""
    return value.decode() if isinstance(value, bytes) else value

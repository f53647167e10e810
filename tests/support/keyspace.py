"""Every key that a Redis ever held while somebody watched, with its type and whether it was ever given an end."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Self
from uuid import uuid4

import redis

from tests.support.eventually import eventually

_CHANNEL, _MARK = "__keyevent@0__:", "keyspace-mark:"
_TYPES = {
    "hash": ("hset", "hincrby", "hincrbyfloat"),
    "list": ("lpush", "rpush", "linsert"),
    "set": ("sadd",),
    "sorted set": ("zadd", "zincr"),
    "stream": ("xadd", "xgroup-create"),
    "string": ("set", "setrange", "append", "incrby", "setbit"),
}
_TYPE_OF = {event: kind for kind, events in _TYPES.items() for event in events}


@dataclass
class Seen:
    """What was seen of one key."""

    types: set[str] = field(default_factory=set)
    ends: bool = False


class Keyspace:
    """Listens to the server's own notifications, so that a key which lives for the length of one script is seen too."""

    def __init__(self, client: redis.Redis) -> None:
        self.seen: dict[str, Seen] = {}
        self._marks: set[str] = set()
        self._client = client
        self._pubsub = client.pubsub(ignore_subscribe_messages=True)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> Self:
        self._client.config_set("notify-keyspace-events", "EA")
        self._client.config_set("client-output-buffer-limit", "pubsub 0 0 0")
        self._pubsub.psubscribe(f"{_CHANNEL}*")
        self._thread.start()
        self.caught_up()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(timeout=5)
        self._pubsub.close()
        self._client.config_set("notify-keyspace-events", "")

    def caught_up(self) -> None:
        """Wait until everything that has happened so far was heard of."""
        mark = f"{_MARK}{uuid4().hex}"
        # Notifications before the subscription took hold are lost, so the mark is set until it is heard.
        eventually(lambda: self._client.set(mark, "1", px=60_000) and mark in self._marks, within=10)

    def _listen(self) -> None:
        while not self._stopping.is_set():
            message = self._pubsub.get_message(timeout=0.2)
            if message is not None:
                self._note(message["channel"].removeprefix(_CHANNEL), message["data"])

    def _note(self, event: str, key: str) -> None:
        if key.startswith(_MARK):
            self._marks.add(key)
            return
        known = self.seen.setdefault(key, Seen())
        if event in _TYPE_OF:
            known.types.add(_TYPE_OF[event])
        known.ends |= event == "expire"

"""From the outbox to the broker. A letter stays in the outbox until the broker has confirmed it."""

from __future__ import annotations

import logging
import time
from typing import Any

from backbeat.runtime.app_defaults import is_redis
from backbeat.runtime.post import Post
from backbeat.runtime.post_redis import RedisPost
from backbeat.store.outbox import Letter, Outbox

log = logging.getLogger("backbeat.keeper")

BATCH = 500
BLOCK_MS = 1_000
ABANDONED_AFTER_MS = 30_000
"""A letter taken so long ago and not confirmed belongs to whoever looks: its publisher is dead. Twice is harmless."""
LOOK_EVERY = 5.0
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 5.0
"""Seconds until what was refused (a full queue, a deleted one) is sent again."""


class Publisher:
    """Reads the outbox, publishes, trims; keeps in mind what did not arrive, and sends it again."""

    def __init__(self, app: Any, outbox: Outbox, abandoned_after_ms: int = ABANDONED_AFTER_MS) -> None:
        self.post: Post | RedisPost = RedisPost(app) if is_redis(app.conf.broker_url) else Post(app)
        self._outbox = outbox
        self._abandoned_after_ms = abandoned_after_ms
        self._looked = float("-inf")
        # What this publisher took and could not get rid of, by its place in the outbox.
        self._left: dict[tuple[str, str], Letter] = {}
        self._again_at = 0.0
        self._pause = FIRST_PAUSE

    def begin(self) -> None:
        """Create the consumer group."""
        self._outbox.prepare()

    def step(self) -> int:
        """Publish one batch; how many letters the broker took. Raises when it can't be reached: they stay.

        Waits up to a second for the first letter.
        """
        self._take()
        letters = list(self._left.values()) if time.monotonic() >= self._again_at else []
        if not letters:
            return 0
        try:
            arrived = self.post.send(letters)
        except Exception:
            self.post.close()
            raise
        self._outbox.sent(arrived)
        for letter in arrived:
            del self._left[letter.place]
        self._pause = min(self._pause * 2, LONGEST_PAUSE) if self._left else FIRST_PAUSE
        self._again_at = time.monotonic() + self._pause if self._left else 0.0
        return len(arrived)

    def close(self) -> None:
        """Leave the broker."""
        self.post.close()

    def _take(self) -> None:
        """Add what is new to what is left."""
        wait = self._again_at - time.monotonic() if self._left else BLOCK_MS / 1000
        found = self._of_the_dead() or self._outbox.read(BATCH, max(1, min(BLOCK_MS, round(wait * 1000))))
        fresh = {letter.place: letter for letter in found if letter.place not in self._left}
        self._left |= fresh
        if fresh:
            # What is new does not wait for what was refused.
            self._again_at = 0.0

    def _of_the_dead(self) -> list[Letter]:
        now = time.monotonic()
        if now - self._looked < min(LOOK_EVERY, self._abandoned_after_ms / 1000):
            return []
        found = self._outbox.abandoned(BATCH, self._abandoned_after_ms)
        # Nothing more to inherit: the next look can wait.
        self._looked = now if len(found) < BATCH else self._looked
        return found

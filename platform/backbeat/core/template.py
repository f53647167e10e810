"""The policies that many schedules share, stored once under the hash of their content.

A template never changes, so whoever has read it may keep it: an edited job simply points at another one.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from functools import cached_property, lru_cache
from hashlib import sha1
from typing import Any

from backbeat.core.job import JobSpec, Misfire, Overlap
from backbeat.core.limits import limits_text
from backbeat.core.message import MEMORY_HEADER, Outline, dumps
from backbeat.core.priority import queue_of
from backbeat.core.retry import Retry
from backbeat.errors import NewerPolicy

_SELDOM = {"limits": "", "batch": 1, "memory": None, "sending": None}
"""What few templates have is not written into the others: their ids stay what they were."""


@dataclass(frozen=True)
class Sending:
    """How messages are sent for an entry that was made for another scheduler: to the queue, with the headers it names."""

    queue: str
    lane: str = ""
    """What the broker's list of this priority is called after the queue; only where priorities share a queue on Redis."""
    headers: str = ""
    """Members of a JSON object."""
    priority: int = 0
    results: bool = True
    """Whether Celery's result backend keeps what it returns."""


@dataclass(frozen=True)
class Template:
    """What the scheduler and the worker need to know of a job to fire, run and retry it. Times are seconds."""

    task: str
    pool: str = "default"
    priority: int = 5
    retry: Retry = field(default_factory=Retry)
    timeout: float | None = None
    soft_timeout: float | None = None
    start_deadline: float | None = None
    overlap: Overlap = Overlap.SKIP
    misfire: Misfire = Misfire.LATEST
    misfire_limit: int = 100
    misfire_window: float = 86400.0
    limits: str = ""
    """How many runs may work at once or start in a time, as scripts read it; empty for any number."""
    batch: int = 1
    memory: int | None = None
    """Bytes that the process of one attempt may take."""
    sending: Sending | None = None
    """None for jobs, whose queue follows from pool and priority."""

    @classmethod
    def of(cls, spec: JobSpec) -> Template:
        """The template of a job; those with the same policies share one, because its text and hash are dear to make."""
        return _shared(
            spec.task, spec.pool, spec.priority, spec.retry, spec.timeout, spec.soft_timeout, spec.start_deadline,
            spec.overlap, spec.misfire, spec.misfire_limit, spec.misfire_window,
            limits_text(spec.max_concurrency, spec.concurrency_key, spec.rate, spec.rate_key, spec.rate_burst), spec.batch,
            spec.memory,
        )  # fmt: skip

    @cached_property
    def queue(self) -> str:
        """The queue that runs of this job go to."""
        return self.sending.queue + self.sending.lane if self.sending else queue_of(self.pool, self.priority)

    @cached_property
    def outline(self) -> Outline:
        """What messages of scheduled runs have in common; nobody waits for their results in Celery's backend."""
        if self.sending is None:
            headers = f'"{MEMORY_HEADER}":{self.memory}' if self.memory else ""
            return Outline(self.task, self.queue, self.timeout, self.soft_timeout, headers=headers)
        how = self.sending
        return Outline(
            self.task, how.queue, self.timeout, self.soft_timeout, not how.results, how.headers, how.priority
        )  # fmt: skip

    @cached_property
    def text(self) -> str:
        """The JSON that is stored."""
        data = asdict(self)
        return dumps({name: value for name, value in data.items() if value != _SELDOM.get(name, ...)})

    @cached_property
    def id(self) -> str:
        """Hash of the content, 10 characters: it names, it doesn't protect."""
        return sha1(self.text.encode(), usedforsecurity=False).hexdigest()[:10]


_shared = lru_cache(maxsize=8192, typed=True)(Template)
"""Typed, because 5 and 5.0 are equal and their texts are not."""


@lru_cache(maxsize=8192)
def read(text: str) -> Template:
    """The template stored as `text`. Raises NewerPolicy for what this version does not understand."""
    try:
        return _read(json.loads(text))
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise NewerPolicy(f"its policies can't be read by this version of Backbeat ({error}). Update this process.") from error


def _read(data: dict[str, Any]) -> Template:
    retry = data.pop("retry")
    retry["on"], retry["give_up_on"] = tuple(retry["on"]), tuple(retry["give_up_on"])
    data["overlap"], data["misfire"] = Overlap(data["overlap"]), Misfire(data["misfire"])
    if sending := data.pop("sending", None):
        data["sending"] = Sending(**sending)
    return Template(retry=Retry(**retry), **data)

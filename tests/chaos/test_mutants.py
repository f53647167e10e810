"""Break the ledger on purpose, one rule at a time: each time the checker must say which promise broke."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import redis

from backbeat.core.state import RunState
from backbeat.core.template import Template
from backbeat.store import scripts
from backbeat.store.ledger import Ending, Ledger
from backbeat.store.slots import Slots
from backbeat.store.store import Store
from tests.store.test_groups import fire
from tests.support.eventually import eventually

LEASE = 30.0


@dataclass
class World:
    """Workers and submitters on a real ledger, who write down what they see. The checker reads nothing else."""

    store: Store
    facts: list[tuple[str, str, str, int]] = field(default_factory=list)
    """What happened, to which run, by whom, at which attempt."""

    @property
    def ledger(self) -> Ledger:
        return self.store.ledger

    def note(self, what: str, run_id: str, who: str = "", attempt: int = 0) -> None:
        self.facts.append((what, run_id, who, attempt))

    def ask(self, run_id: str) -> None:
        self.ledger.submit(run_id, self.fields(run_id), run_id)
        self.note("asked", run_id)

    def fields(self, run_id: str) -> Mapping[str, Any]:
        template = Template("jobs.pay")
        self.store.index.keep_template(run_id, template, "jobs.pay")
        return {"j": "jobs.pay", "n": "", "q": template.queue, "tid": template.id, "x": "[[],\t{}]"}

    def deliver(self, run_id: str, who: str, lease: float = LEASE) -> int:
        """A message reaches a worker: the attempt that it may work on, 0 when it drops the message."""
        claim = self.ledger.claim(run_id, who, lease, who)
        if not claim.won:
            self.note(f"dropped as {claim.verdict}", run_id, who)
            return 0
        self.note("claimed", run_id, who, claim.attempt)
        return claim.attempt

    def renew(self, run_id: str, who: str, attempt: int) -> None:
        if run_id in self.ledger.renew(who, [run_id], LEASE)[0]:
            self.note("renewed", run_id, who, attempt)

    def end(self, run_id: str, who: str, attempt: int) -> None:
        if self.ledger.finish(run_id, who, attempt, RunState.SUCCEEDED, {}):
            self.note("ended", run_id, who, attempt)

    def expire(self, run_id: str, who: str, attempt: int) -> None:
        """The worker is silent for longer than its lease."""
        self.note("silent", run_id, who, attempt)
        eventually(lambda: self.reap() >= 1)

    def reap(self) -> int:
        found = self.ledger.reap(100, 0)
        for one in found:
            if one.state is RunState.RETRYING:
                self.note("taken away", one.run_id)
            self.ledger.queue(one, one.run_id)
        return len(found)


def a_worker_freezes_and_wakes_up(world: World, heir: str = "b") -> None:
    run_id = f"jobs.pay:frozen-{heir}"
    world.ask(run_id)
    first = world.deliver(run_id, "a", lease=0.001)
    world.expire(run_id, "a", first)
    second = world.deliver(run_id, heir)
    world.end(run_id, "a", first)
    world.end(run_id, heir, second)


def a_message_comes_twice(world: World) -> None:
    run_id = "jobs.pay:twice"
    world.ask(run_id)
    first, second = world.deliver(run_id, "a"), world.deliver(run_id, "b")
    world.end(run_id, "b", second or 1)
    world.end(run_id, "a", first)
    world.deliver(run_id, "b")


def a_run_takes_long(world: World) -> None:
    run_id = "jobs.pay:long"
    world.ask(run_id)
    attempt = world.deliver(run_id, "a")
    began = time.monotonic()
    eventually(lambda: time.monotonic() - began > 0.03)  # old for the mutant, whose limit is 20 ms; its lease is 30 s
    world.renew(run_id, "a", attempt)
    world.reap()
    world.end(run_id, "a", attempt)


def a_batch_comes_twice(world: World) -> None:
    for message in fire(world.store, 2, batch=2):
        ids = str(message["headers"]["backbeat"]["runs"]).split("\n")
        endings = [Ending(run_id, 1, RunState.SUCCEEDED, "{}") for run_id in ids]
        for who, ends in (("a", "b"), ("b", "a")):
            won = world.ledger.claim_many(ids, who, LEASE, who, f"{who}.1")
            for run_id in ids:
                world.note("claimed" if run_id in won else "dropped", run_id, who, 1)
            for run_id in world.ledger.finish_many(ends, endings):
                world.note("ended", run_id, ends, 1)


def a_submitter_dies(world: World) -> None:
    """After its first word to Redis. Then the message, if there is one, reaches a worker."""
    run_id = "jobs.pay:died"
    fields = world.fields(run_id)
    with pytest.MonkeyPatch.context() as mortal:
        mortal.setattr(scripts.Script, "__call__", _last_word(scripts.Script.__call__))
        mortal.setattr(redis.Redis, "lpush", _last_word(redis.Redis.lpush))
        with pytest.raises(Died):
            world.ledger.submit(run_id, fields, run_id)
    if world.store.slots.client.lrem("default.p5", 1, run_id) and (attempt := world.deliver(run_id, "a")):
        world.end(run_id, "a", attempt)


class Died(Exception):
    """This process is gone."""


def _last_word(inner: Callable[..., Any]) -> Callable[..., Any]:
    """A command that is carried out, and after which its process is killed."""

    def call(*args: Any) -> Any:
        inner(*args)
        raise Died

    return call


def violations(facts: list[tuple[str, str, str, int]]) -> set[str]:
    """Which promises were broken, told from what was seen."""
    found: set[str] = set()
    holder: dict[str, tuple[str, int]] = {}
    renewed: set[str] = set()
    newest: dict[str, int] = {}
    for what, run_id, who, attempt in facts:
        if what == "claimed":
            if run_id in holder:
                found.add("two attempts at once")
            holder[run_id], newest[run_id] = (who, attempt), attempt
        elif what == "silent":
            holder.pop(run_id, None)
            renewed.discard(run_id)
        elif what == "renewed":
            renewed.add(run_id)
        elif what == "taken away" and run_id in renewed:
            found.add("taken away from a live worker")
        elif what == "ended":
            if attempt != newest[run_id] or holder.get(run_id) != (who, attempt):
                found.add("the word of a stale attempt was taken")
            holder.pop(run_id, None)
        elif what == "dropped as gone" and run_id not in newest:
            found.add("a message without a run")
    return found


def publish_before_record(
    ledger: Ledger, run_id: str, fields: Mapping[str, Any], message: str, delay: float = 0.0, _: str = ""
) -> Any:
    """What a careless author would write: the message first, then the run."""
    ledger.slots.client.lpush(fields["q"], message)
    return _submit(ledger, run_id, fields, "", delay)


_submit = Ledger.submit
MUTANTS = {
    "no fence on finish": (
        "finishing",
        {"run.s ~= 'running' or run.h ~= ask.holder or (attempt ~= '' and run.a ~= attempt)": "not run.s"},
        "the word of a stale attempt was taken",
    ),
    "finish looks at the worker alone": (
        "finishing",
        {" or (attempt ~= '' and run.a ~= attempt)": ""},
        "the word of a stale attempt was taken",
    ),
    "finish looks at the number alone": (
        "finishing",
        {" or run.h ~= ask.holder": ""},
        "the word of a stale attempt was taken",
    ),
    "claim without lease check": ("claiming", {"elseif state ~= 'queued' then": "elseif false then"}, "two attempts at once"),
    "claim of a batch without lease check": (
        "claiming",
        {"string.sub(packed, 1, 2) ~= 's\\31' and ": ""},
        "two attempts at once",
    ),
    "finish of a batch looks at no worker": (
        "finish_many",
        {"won = string.sub(text, 1, #mine) == mine": "won = true"},
        "the word of a stale attempt was taken",
    ),
    "reaper by age": (
        "reap",
        {
            "'-inf', now, 'WITHSCORES'": "'-inf', '+inf', 'WITHSCORES'",
            "tonumber(score) + ARGV[4] <= now": "tonumber(redis.call('HGET', key, 'st')) + 20 <= now",
        },
        "taken away from a live worker",
    ),
    "publish before record": ("", {}, "a message without a run"),
}
"""Name -> the file of Lua, what is replaced in it by what, and the promise that breaks."""


@pytest.fixture
def world(redis_client: redis.Redis) -> Iterator[World]:
    scripts.script.cache_clear()
    yield World(Store(Slots(redis_client, "m", 4, direct=True, requeue_after=60.0, key_ttl=60.0)))
    scripts.script.cache_clear()


def live(world: World) -> set[str]:
    """Everything that may happen to runs in this file, and what the checker says of it."""
    scripts.load_all(world.store.slots.client)
    a_batch_comes_twice(world)
    a_worker_freezes_and_wakes_up(world)
    a_worker_freezes_and_wakes_up(world, heir="a")
    a_message_comes_twice(world)
    a_run_takes_long(world)
    a_submitter_dies(world)
    return violations(world.facts)


def test_the_ledger_as_it_is_breaks_no_promise(world: World) -> None:
    assert live(world) == set()
    assert [fact[0] for fact in world.facts].count("ended") == 7, "and it gets work done"


@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_ledger_is_found_out(world: World, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    file, changes, promise = MUTANTS[name]
    read = scripts._read

    def mutated(script: str) -> str:
        text = read(script)
        for old, new in changes.items() if script == file else ():
            assert text.count(old) == 1, f"lua/{file}.lua has changed; write this mutant anew: {old!r} stands there no more"
            text = text.replace(old, new)
        return text

    monkeypatch.setattr(scripts, "_read", mutated)
    if name == "publish before record":
        monkeypatch.setattr(Ledger, "submit", publish_before_record)

    assert promise in live(world)

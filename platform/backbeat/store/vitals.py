"""Vital signs: what each process says of itself while it lives, in one small record that fades when it falls silent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from backbeat.core.message import dumps
from backbeat.store.scripts import Call, script
from backbeat.store.slots import Slots

FADE_MS = 60_000
"""How long a process that died without a word is still shown, at least."""


@dataclass(frozen=True, slots=True)
class Process:
    """One process as it last described itself. Times are epoch ms by the server's clock."""

    id: str
    kind: str
    """`scheduler`, `worker` or `keeper`."""
    name: str
    host: str
    pid: int
    started: int
    seen: int
    """When it last wrote."""
    progress: int
    """When its work last moved on; a process that writes but does not move on is stuck."""
    every: int
    """How often it means to write (ms)."""
    figures: Mapping[str, Any]

    def silent(self, now: int) -> bool:
        """Whether it missed more than two of its own signs: dead, frozen, or cut off."""
        return now - self.seen > 3 * self.every + 1_000

    def stuck(self, now: int, longest: int) -> bool:
        """Whether it lives, but its work has stood still for more than `longest` ms."""
        return not self.silent(now) and now - self.progress > longest


class Vitals:
    """Writing the record of one process."""

    def __init__(self, slots: Slots, identity: str, about: Mapping[str, Any], every: float) -> None:
        self.slots = slots
        self.id = identity
        self._about = {**about, "every": round(every * 1000)}
        self._fade = max(FADE_MS, 5 * round(every * 1000))

    def call(self, age: float, idle: float, figures: Mapping[str, Any]) -> Call:
        """The script call that writes it, for a pipeline. Seconds since the process began, and since it last moved on."""
        fields = {**self._about, "figures": dumps(figures)}
        flat = [part for pair in fields.items() for part in pair]
        argv = [self.id, self._fade, round(age * 1000), round(idle * 1000), *flat]
        return script("vital"), [_processes(self.slots), _process(self.slots, self.id)], argv

    def leave(self) -> None:
        """End in good order: nobody needs to wonder where it went."""
        pipe = self.slots.client.pipeline(transaction=False)
        pipe.zrem(_processes(self.slots), self.id)
        pipe.delete(_process(self.slots, self.id))
        pipe.execute()


def processes(slots: Slots) -> list[Process]:
    """Every process that wrote lately, by kind and name."""
    ids = [str(identity) for identity in slots.client.zrange(_processes(slots), 0, -1)]
    pipe = slots.client.pipeline(transaction=False)
    for identity in ids:
        pipe.hgetall(_process(slots, identity))
    records = zip(ids, pipe.execute() if ids else [], strict=True)
    found = [_read(identity, fields) for identity, fields in records if fields]
    return sorted(found, key=lambda one: (one.kind, one.name, one.started))


def _read(identity: str, fields: Mapping[str, str]) -> Process:
    return Process(
        id=identity,
        kind=fields["kind"],
        name=fields["name"],
        host=fields["host"],
        pid=int(fields["pid"]),
        started=int(fields["started"]),
        seen=int(fields["seen"]),
        progress=int(fields["progress"]),
        every=int(fields["every"]),
        figures=json.loads(fields["figures"]),
    )


def _processes(slots: Slots) -> str:
    return f"{{{slots.prefix}}}:processes"


def _process(slots: Slots, identity: str) -> str:
    return f"{{{slots.prefix}}}:process:{identity}"

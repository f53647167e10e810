"""The run ledger: claim, renew, finish, cancel and repair, each one script and one winner."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from backbeat.core.keys import SlotKeys
from backbeat.core.message import dumps
from backbeat.core.state import LOSSES_BEFORE_QUARANTINE, RunState
from backbeat.store.conversation import asked_later
from backbeat.store.scripts import Call, run_many, script
from backbeat.store.slots import Slots

PACKED = "\x1f"
"""Between the names and values of a run that was only fired; JSON and names never hold it."""
TEXTS = "\x1e"
"""Between the texts of several such runs, and whatever travels with them."""


class Claim(NamedTuple):
    """The answer to a claim. `fields` are the run's fields when it was won or stands at a gate, else empty."""

    verdict: str
    """`claimed`, or why not: `gone`, `expired`, the state the run is in, or how it fares at a limit of its job: `gated` (ask
    again, with its keys and its message) or `waits`."""
    now: int
    fields: Mapping[str, str]
    ended: bool = False
    """Whether an attempt that was to end first was still ours to end."""

    @property
    def won(self) -> bool:
        """Whether the caller may work on the run."""
        return self.verdict == "claimed"

    @property
    def attempt(self) -> int:
        """The number of this attempt; it is the fence."""
        return int(self.fields["a"])


class Ending(NamedTuple):
    """The end of one attempt among several. `outcome` is JSON text; `retry_in` (seconds) makes the run come back."""

    run_id: str
    attempt: int
    state: RunState
    outcome: str
    retry_in: float | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """A process that has ended a node would go on with the next one, when its job is among these, one a line."""

    who: str
    lease: float
    jobs: str


@dataclass(frozen=True, slots=True)
class Ended:
    """What came of the end of an attempt."""

    won: bool
    """Whether it was still the caller's to end."""
    more: bool
    """Whether its DAG run needs a hand."""
    following: tuple[str, Claim] | None = None
    """The run that was won by an offer."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A message, and the runs that it carries: their ids and arguments (JSON text)."""

    message: str
    runs: Sequence[tuple[str, str]]

    @property
    def size(self) -> int:
        """Characters that a script is sent for it."""
        return len(self.message) + sum(len(run_id) + len(arguments) for run_id, arguments in self.runs)

    @property
    def argv(self) -> list[str | int]:
        """As lua/submit_many.lua takes it."""
        return [len(self.runs), self.message, *(part for run in self.runs for part in run)]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A run whose time has come to be queued (again), as it was seen."""

    run_id: str
    score: str
    fields: Mapping[str, str]

    @property
    def state(self) -> RunState:
        """The state in which it was seen."""
        return RunState(self.fields["s"])


class Ledger:
    """Unfinished runs. Every write is a compare-and-set; the loser is told."""

    def __init__(self, slots: Slots) -> None:
        self.slots = slots

    def submit(
        self, run_id: str, fields: Mapping[str, Any], message: str, delay: float = 0.0, in_force: str = ""
    ) -> tuple[bool, str]:
        """Create a run and hand its message over. Returns (created, state); an id that exists is left as it is.

        `in_force` names the policies that the job has as this process heard; when it has others by now, the state is `changed`.
        """
        keys = self.slots.of(run_id)
        flat = [str(part) for pair in fields.items() for part in pair]
        argv = [
            keys.prefix,
            run_id,
            self.slots.direct_flag,
            self.slots.requeue_ms,
            round(delay * 1000),
            message,
            dumps(flat),
            fields["j"] if in_force else "",
            in_force,
        ]
        _, created, state = script("submit")(self.slots.client, [keys.run(run_id), keys.timers], argv)
        return bool(created), str(state)

    def submit_many(
        self, job: str, queue: str, fields: Mapping[str, str], scripts: Sequence[Sequence[Letter]], delay: float = 0.0
    ) -> set[str]:
        """Create runs of one job, all of which have these fields, in several scripts but one round trip; those that are new."""
        keys = self.slots.of(job)
        shared = dumps([part for pair in fields.items() for part in pair])
        same = [keys.prefix, self.slots.direct_flag, self.slots.requeue_ms, round(delay * 1000), queue, shared]
        calls = [
            (script("submit_many"), [keys.timers], [*same, *(part for letter in letters for part in letter.argv)])
            for letters in scripts
        ]
        return {str(run_id) for _, *created in run_many(self.slots.client, calls) for run_id in created}

    def claim(
        self,
        run_id: str,
        holder: str,
        lease: float,
        worker: str,
        stock: Mapping[str, Any] | None = None,
        *,
        who: str = "",
        canvas: str = "",
        gate: str = "",
        after: Ending | None = None,
    ) -> Claim:
        """Try to become the one who works on a run, for `lease` seconds at first.

        `stock` gives the fields of a run for a message that no Backbeat process made; without it a claim creates nothing.
        `who` is `<process id>.<number>`; asked again by the same one, a claim that was won is won still. `canvas` is what
        the message knows and the run does not: what comes after it. `gate` is what the verdict `gated` asks for.
        `after` is an attempt of the holder's that ends first, in the same round trip; see `finish_many`.
        """
        keys = self.slots.of(run_id)
        made = dumps([str(part) for pair in stock.items() for part in pair]) if stock is not None else ""
        argv = [keys.prefix, run_id, holder, round(lease * 1000), worker, made, *self._tail(), who, canvas, gate]
        # One end follows the other, so the start of this one is not worth a word yet.
        argv.append("1" if after else "")
        call: Call = (script("claim"), [keys.run(run_id), keys.timers], argv)
        if after is None:
            one, *with_these = call
            verdict, now, *flat = one(self.slots.client, *with_these)
            return Claim(str(verdict), int(now), fields_of(flat))
        ended, (verdict, now, *flat) = run_many(self.slots.client, [self._ending(holder, [after]), call])
        return Claim(str(verdict), int(now), fields_of(flat), ended=len(ended) == 1)

    def claim_many(self, run_ids: Sequence[str], holder: str, lease: float, worker: str, who: str) -> dict[str, Claim]:
        """Claim the runs of one slot that one message carries; those that were won. See `claim` for the rest."""
        keys = self.slots.of(run_ids[0])
        argv = [keys.prefix, holder, round(lease * 1000), worker, *self._tail(), who, *run_ids]
        now, head, packed, *rows = script("claim_many")(self.slots.client, [keys.timers], argv)
        # It ends with what parts it from the text behind it.
        shared = _mapping(head.split(PACKED)[:-1])
        found = {
            run_id: shared | _mapping(text.split(PACKED))
            for run_id, text in zip(run_ids, packed.split(TEXTS), strict=False)
            if text
        }
        found |= {run_id: fields_of(flat) for run_id, *flat in rows}
        return {run_id: Claim("claimed", int(now), fields) for run_id, fields in found.items()}

    def finish_many(self, holder: str, endings: Sequence[Ending]) -> set[str]:
        """End several attempts in one slot; the runs that were still ours to end. See `finish` for the rest."""
        one, keys, argv = self._ending(holder, endings)
        return _won(endings, one(self.slots.client, keys, argv))

    def finish_soon(self, holder: str, endings: Sequence[Ending]) -> Callable[[], set[str]]:
        """The same, but only sent. What is returned waits for the answer, gives it, and can be asked once."""
        answer = asked_later(self.slots.client, [self._ending(holder, endings)])
        return lambda: _won(endings, *answer())

    def finish(
        self,
        run_id: str,
        holder: str,
        attempt: int | None,
        state: RunState,
        outcome: Mapping[str, Any],
        retry_in: float | None = None,
    ) -> bool:
        """End an attempt; True when it was still ours to end. `retry_in` (seconds) makes it come back instead of final.

        `attempt` None: the holder's parent speaks for a child that can't any more.
        """
        return self.finish_node(run_id, holder, attempt, state, outcome, retry_in).won

    def finish_node(
        self,
        run_id: str,
        holder: str,
        attempt: int | None,
        state: RunState,
        outcome: Mapping[str, Any],
        retry_in: float | None = None,
        output: str = "",
        worker: str = "",
        offer: Offer | None = None,
    ) -> Ended:
        """End an attempt at a DAG's node, whose children need `output` (JSON text).

        With an `offer` the caller may have won the next node by the same stroke, as `claim` would have.
        """
        keys = self.slots.of(run_id)
        fence = "" if attempt is None else attempt
        delay = "" if retry_in is None else round(retry_in * 1000)
        argv = [keys.prefix, run_id, holder, fence, str(state), delay, dumps(outcome), *self._tail(), output]
        argv += [offer.who, worker, round(offer.lease * 1000), offer.jobs] if offer else ["", worker, 0, ""]
        won, now, _, more, *taken = script("finish")(self.slots.client, [keys.run(run_id), keys.timers], argv)
        following = (str(taken[0]), Claim("claimed", int(now), _mapping(taken[1:]))) if taken else None
        return Ended(bool(won), bool(more), following)

    def release(
        self,
        run_id: str,
        holder: str,
        attempt: int,
        outcome: Mapping[str, Any],
        message: str = "",
        delay: float = 0.0,
        at_least: int = 0,
    ) -> int:
        """Give a run back unfinished; neither a failure nor a loss. Returns how often that happened, 0 when it was not ours.

        `message` goes out at once, unless the run shall wait `delay` seconds. The next attempt's number is above `at_least`.
        """
        keys = self.slots.of(run_id)
        argv = [keys.prefix, run_id, holder, attempt, round(delay * 1000), message, dumps(outcome), *self._tail(), at_least]
        _, _, releases = script("release")(self.slots.client, [keys.run(run_id), keys.timers], argv)
        return int(releases)

    def lose(self, run_id: str, holder: str, process: int, outcome: Mapping[str, Any]) -> bool:
        """Report that the process that worked on a run is dead, and how, so that nobody waits for its lease to end."""
        keys = self.slots.of(run_id)
        argv = [run_id, holder, process, dumps(outcome)]
        won, _ = script("lose")(self.slots.client, [keys.run(run_id), keys.timers], argv)
        return bool(won)

    def progress(self, run_id: str, holder: str, attempt: int, fraction: float, text: str) -> bool:
        """Note how far a run is, from 0 to 1; False when the attempt was taken over."""
        argv = [holder, attempt, f"{fraction:.4g} {text}"]
        return bool(script("progress")(self.slots.client, [self.slots.of(run_id).run(run_id)], argv)[0])

    def renew(self, holder: str, run_ids: Iterable[str], lease: float, who: str = "") -> tuple[set[str], set[str]]:
        """One heartbeat: (runs still held, runs somebody asked to cancel), one script a slot, one round trip.

        With `who`, see `claim`, only runs of that very claim count as held.
        """
        by_slot: dict[SlotKeys, list[str]] = {}
        for run_id in run_ids:
            by_slot.setdefault(self.slots.of(run_id), []).append(run_id)
        calls = [
            (script("renew"), [keys.timers], [keys.prefix, holder, round(lease * 1000), who, *ids])
            for keys, ids in by_slot.items()
        ]
        held: set[str] = set()
        cancelled: set[str] = set()
        for _, mine, stop in run_many(self.slots.client, calls) if calls else ():
            held.update(mine)
            cancelled.update(stop)
        return held, cancelled

    def cancel(self, run_id: str, reason: str) -> str:
        """Cancel a run: 'cancelled' at once, 'asked' when a worker must stop it first, 'gone' when it is over."""
        keys = self.slots.of(run_id)
        outcome, _ = script("cancel")(self.slots.client, [keys.run(run_id)], [keys.prefix, run_id, reason, *self._tail()])
        return str(outcome)

    def reap(self, limit: int, grace: float) -> list[Waiting]:
        """Lose what has expired and return every run that waits to be queued (again), over all slots.

        `grace` (seconds) is added to every lease: after an outage nobody could renew, and nobody is to blame.
        """
        if not self.slots.any(keys.timers for keys in self.slots.all):
            return []
        tail = self._tail()
        calls = [
            (script("reap"), [keys.timers], [keys.prefix, limit, LOSSES_BEFORE_QUARANTINE, round(grace * 1000), *tail])
            for keys in self.slots.all
        ]
        return [_waiting(row) for _, *rows in run_many(self.slots.client, calls) for row in rows]

    def queue(self, seen: Waiting, message: str, queue: str = "") -> bool:
        """Queue a run again with this message, unless it moved since it was seen; an empty message only waits longer.

        `queue` is another one than it waited in so far.
        """
        keys = self.slots.of(seen.run_id)
        argv = [
            keys.prefix,
            seen.run_id,
            str(seen.state),
            seen.score,
            message,
            self.slots.direct_flag,
            self.slots.requeue_ms,
            queue,
        ]
        queued, _ = script("queue")(self.slots.client, [keys.run(seen.run_id), keys.timers], argv)
        return bool(queued)

    def readmit(self, run_id: str, message: str, overlap: str) -> tuple[bool, str]:
        """Let a quarantined run go on with this message: (done, its state; `gone` when it is over)."""
        keys = self.slots.of(run_id)
        argv = [keys.prefix, run_id, message, overlap, self.slots.direct_flag, self.slots.requeue_ms]
        done, _, state = script("readmit")(self.slots.client, [keys.run(run_id), keys.timers], argv)
        return bool(done), str(state)

    def get(self, run_id: str) -> dict[str, str]:
        """The fields of an unfinished run; empty when it is over or unknown."""
        return self.read([run_id])[run_id]

    def read(self, run_ids: Iterable[str]) -> dict[str, dict[str, str]]:
        """The fields of runs, as `get` gives them, in one round trip."""
        by_slot: dict[SlotKeys, list[str]] = {}
        for run_id in run_ids:
            by_slot.setdefault(self.slots.of(run_id), []).append(run_id)
        calls: list[Call] = [(script("read"), list(map(keys.run, ids)), []) for keys, ids in by_slot.items()]
        answers = zip(by_slot.values(), run_many(self.slots.client, calls) if calls else [], strict=True)
        return {run_id: fields_of(row) for ids, rows in answers for run_id, row in zip(ids, rows, strict=True)}

    def states(self, run_ids: Sequence[str]) -> dict[str, RunState]:
        """The states of those runs that are unfinished, or whose end is still known because a caller gave their key."""
        of, look = self.slots.of, script("state")
        calls: list[Call] = [(look, [of(one).run(one), f"{of(one).prefix}done:{one}"], []) for one in run_ids]
        told = run_many(self.slots.client, calls) if calls else []
        return {run_id: RunState(state) for run_id, state in zip(run_ids, told, strict=True) if state}

    def _ending(self, holder: str, endings: Sequence[Ending]) -> Call:
        keys = self.slots.of(endings[0].run_id)
        alike: dict[tuple[int, RunState, str, float | None], list[str]] = {}
        for ending in endings:
            alike.setdefault(ending[1:], []).append(ending.run_id)
        argv: list[Any] = [keys.prefix, holder, *self._tail()]
        for (attempt, state, outcome, retry_in), run_ids in alike.items():
            delay = "" if retry_in is None else round(retry_in * 1000)
            argv += (attempt, state.value, delay, outcome, len(run_ids), *run_ids)
        return script("finish_many"), [keys.timers], argv

    def _tail(self) -> tuple[str, int, int]:
        return self.slots.direct_flag, self.slots.requeue_ms, self.slots.key_ttl_ms


def fields_of(stored: Sequence[str]) -> dict[str, str]:
    """The fields of a run from names and values in turn, those that are packed included."""
    found = _mapping(stored)
    packed = found.pop("p", None)
    return found if packed is None else _mapping(packed.split(PACKED)) | found


def _won(endings: Sequence[Ending], told: Sequence[Any]) -> set[str]:
    _, *lost = told
    return {ending.run_id for ending in endings}.difference(lost)


def _mapping(flat: Sequence[str]) -> dict[str, str]:
    parts = iter(flat)
    return dict(zip(parts, parts, strict=True))


def _waiting(row: Sequence[str]) -> Waiting:
    run_id, score, *flat = row
    return Waiting(run_id, score, _mapping(flat))

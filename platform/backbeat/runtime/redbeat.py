"""RedBeat's entries and Celery's `beat_schedule`, live: kept in step with our index, which fires them like everything else.

Each scheduler asks every second, in a thread of its own, whether it may; the one that leads shard 0 does the work. A save
through RedBeat's API gives an entry a new score in RedBeat's sorted set, which is what a look at the set finds, so that a
quiet second costs one walk over the scores and no entry is read twice.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from redbeat.schedulers import ensure_conf, get_redis

from backbeat.core.foreign import foreign_id
from backbeat.core.redbeat import Ran
from backbeat.runtime.celery_routes import Routes
from backbeat.runtime.firing import Gate
from backbeat.runtime.insist import OUTAGE
from backbeat.runtime.redbeat_reading import Reader
from backbeat.runtime.statics import Statics
from backbeat.store.connect import connect
from backbeat.store.foreign import Foreign, ForeignEntries, Report
from backbeat.store.leases import Lease
from backbeat.store.redbeat import RawEntry, RedBeatStorage
from backbeat.store.store import Store

log = logging.getLogger("backbeat.beat")

EVERY = 1.0
"""Seconds between two looks: how late a saved entry may be noticed."""
LOCK_TTL = 10.0
"""Seconds after which a stock RedBeat that waits may take over, should every scheduler of ours be gone."""
FULL_EVERY = 300.0
"""Seconds between two comparisons of everything, for entries that were changed without RedBeat's API."""
REMIND_EVERY = 60.0
BESIDE = "config"
"""Stands for the key of an entry that only the configuration has."""


class Mirror:
    """Keeps the index in step with RedBeat's storage, and RedBeat's storage with what fired."""

    def __init__(self, app: Any, store: Store, gate: Gate, leads: Callable[[], Lease | None], alone: Callable[[], bool]) -> None:
        conf = ensure_conf(app)
        self._store = store
        self._gate = gate
        self._leads = leads
        self._alone = alone
        self._index = ForeignEntries(store.slots)
        self._storage = RedBeatStorage(_client(app, conf), conf.key_prefix, conf.lock_key)
        self._reader = Reader(
            app, Routes(app, ours=gate.told == "ledger"), lambda name: store.index.template_of(name) is not None
        )
        self._statics = Statics(app, self._storage, store.slots)
        self._token = f"backbeat:{store.slots.prefix}"
        self._known: dict[str, str] | None = None
        self._beside: dict[str, str] = {}
        self._read: dict[str, int] = {}
        self._fence = 0
        self._installed = False
        self._next_full = 0.0
        self._remind_at = 0.0

    def step(self) -> int:
        """Look once; returns how many entries were written or reported. Never raises for an outage."""
        try:
            return self._step()
        except OUTAGE as error:
            # What fires goes on firing: a stock RedBeat could do no more without its server than we can.
            log.warning("RedBeat's entries can't be looked at: %s", error)
            self._known = None
            return 0
        except Exception:
            self._known = None
            raise

    def close(self) -> None:
        """Report what fired last. The last scheduler to go lets a stock RedBeat have its lock."""
        try:
            self.step()
            if self._alone():
                self._storage.release(self._token)
        except OUTAGE as error:
            log.warning("RedBeat's lock was not given up, it ends by itself: %s", error)

    def _step(self) -> int:
        # Each of our processes asks, so that the lock stays held whoever leads.
        held, left = self._storage.hold(self._token, LOCK_TTL)
        if not held:
            self._gate.open = False
            return self._stand_back(left)
        lease = self._leads()
        if not self._installed or (lease is not None and self._statics.missing()):
            self._statics.install()
            self._installed, self._known = True, None
        if lease is None:
            self._known = None
            self._gate.open = self._index.in_step()
            return 0
        written = self._follow(lease.fence)
        if self._known is not None:
            self._index.note_in_step(LOCK_TTL)
            # Only now: what the index held before may be fired by rules that hold no longer.
            self._gate.open = True
        return written + self._report()

    def _stand_back(self, left: float) -> int:
        """A stock RedBeat is at work: whatever is in our index of its entries would be fired twice."""
        if time.monotonic() > self._remind_at:
            self._remind_at = time.monotonic() + REMIND_EVERY
            log.warning(
                "another RedBeat scheduler holds the lock %r, so its entries are left to it; they are taken over when it stops,"
                " or, should it be dead, in %.0f s when its lock ends",
                self._storage.lock,
                left,
            )
        lease = self._leads()
        known = self._index.known() if lease else {}
        self._known = None
        self._index.out_of_step()
        if lease and known:
            self._index.write(lease.fence, [Foreign(entry_id) for entry_id in known])
        return len(known)

    def _follow(self, fence: int) -> int:
        if self._known is None or fence != self._fence or time.monotonic() > self._next_full:
            return self._everything(fence)
        total, changed = self._storage.changed()
        beside = self._statics.beside()
        written = self._take(changed, fence) if changed else 0
        if self._known is not None and (total + len(beside) != len(self._known) or beside != self._beside):
            written += self._difference(fence, beside)
        return written

    def _everything(self, fence: int) -> int:
        """Take all entries as they are now: at first, after an outage, and now and then."""
        if self._known is None or fence != self._fence:
            self._known, self._fence, self._beside, self._read = self._index.known(), fence, {}, {}
        # Marked before they are read, so that a save meanwhile is found by the next look.
        self._storage.changed()
        written = self._take(self._storage.all(), fence, again=False) + self._difference(fence, self._statics.beside())
        self._next_full = time.monotonic() + FULL_EVERY
        return written

    def _take(self, keys: Iterable[str], fence: int, *, again: bool = True) -> int:
        """Read these entries and write them; with `again` also those that were read before and are the same."""
        raws = [raw for raw in self._storage.load(list(keys)) if again or self._read.get(raw.key) != hash(raw)]
        written = self._write(((raw, self._storage.name_of(raw.key)) for raw in raws), fence)
        self._read |= {raw.key: hash(raw) for raw in raws}
        return written

    def _difference(self, fence: int, beside: dict[str, str]) -> int:
        """Forget what is gone, and take what only the configuration has."""
        if self._known is None:
            return 0
        there = {foreign_id(self._storage.name_of(key)): key for key in self._storage.all()}
        ours = {foreign_id(name): RawEntry(BESIDE, text, None, None) for name, text in beside.items()}
        gone = [Foreign(entry_id) for entry_id in self._known if entry_id not in there and entry_id not in ours]
        if not self._index.write(fence, gone):
            return self._fenced_off()
        for one in gone:
            self._read.pop(self._known.pop(one.id), None)
        written = self._take([key for entry_id, key in there.items() if entry_id not in self._known], fence)
        changed = [(ours[foreign_id(name)], name) for name, text in beside.items() if self._beside.get(name) != text]
        self._beside = beside
        return len(gone) + written + self._write(iter(changed), fence)

    def _write(self, raws: Iterator[tuple[RawEntry, str]], fence: int) -> int:
        if self._known is None:
            return 0
        now = self._store.slots.now_ms()
        wanted = [self._reader.foreign(raw, name, now, known=foreign_id(name) in self._known) for raw, name in raws]
        if not self._index.write(fence, wanted):
            return self._fenced_off()
        self._known |= {one.id: one.note for one in wanted}
        return len(wanted)

    def _fenced_off(self) -> int:
        """A later leader has taken over; what is known here is history."""
        self._known = None
        return 0

    def _report(self) -> int:
        """Tell RedBeat's entries of their fires."""
        reports = self._index.fired()
        if reports and self._known is not None:
            self._storage.tell([row for one in reports if (row := self._row(one, self._known.get(one.id)))])
            self._index.reported(reports)
        return len(reports)

    def _row(self, one: Report, key: str | None) -> tuple[str, Ran, int | None] | None:
        # Entries of the configuration that RedBeat can't write have no key in its storage.
        return (key, Ran(one.last, one.count), one.next) if key and key != BESIDE else None


class MirrorThread:
    """Runs a mirror beside the tick, so that a slow look at RedBeat's server delays no fire."""

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="backbeat-redbeat", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the look that is under way, and let go of RedBeat's lock."""
        self._stopping.set()
        self._thread.join(timeout=LOCK_TTL)
        self._mirror.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._mirror.step()
            except Exception:
                log.exception("RedBeat's entries: will be tried again")
            self._stopping.wait(EVERY)


def _client(app: Any, conf: Any) -> Any:
    """RedBeat's own connection; to a cluster one of ours, since redis-py's can't ask in the way that we do."""
    if not (conf.redbeat_redis_options or {}).get("cluster"):
        return get_redis(app)
    scheme, _, rest = conf.redis_url.partition("://")
    return connect(f"{scheme}+cluster://{rest}")

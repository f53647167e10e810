"""`beat_schedule` of the configuration, put where RedBeat puts it, so that both fire it by the same entries.

RedBeat writes these entries at start and takes out those that are gone from the configuration; so do we, one by one, so
that a broken one stops no other. What RedBeat can't write (Celery's `solar`, a crontab given as a set of numbers) is kept
beside, in a hash of our own.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from celery.schedules import crontab, solar
from redbeat.decoder import RedBeatJSONEncoder
from redbeat.schedulers import RedBeatSchedulerEntry

from backbeat.core.redbeat import BROKEN
from backbeat.store.redbeat import RedBeatStorage
from backbeat.store.slots import Slots

log = logging.getLogger("backbeat.beat")

_CLEANUP = "celery.backend_cleanup"
_FIELDS = ("name", "task", "args", "kwargs", "options", "schedule", "enabled")


class Statics:
    """The entries of one app's configuration. `install` may be repeated; the last process to do so wins, as with RedBeat."""

    def __init__(self, app: Any, storage: RedBeatStorage, slots: Slots) -> None:
        self._app = app
        self._storage = storage
        self._slots = slots
        self._key = f"{{{slots.prefix}}}:statics"
        self.wanted = _with_defaults(app)

    def install(self) -> None:
        """Write what the configuration holds, and take out what it no longer holds."""
        beside: dict[str, str] = {}
        for name, entry in self.wanted.items():
            if text := self._save(name, entry):
                beside[name] = text
        self._storage.forget_statics(self._storage.statics() - (set(self.wanted) - set(beside)))
        self._storage.add_statics(set(self.wanted) - set(beside))
        pipe = self._slots.client.pipeline(transaction=True)
        pipe.delete(self._key)
        # The nameless field only says that it was written: a configuration may leave nothing to be kept beside.
        pipe.hset(self._key, items=[part for pair in {"": "", **beside}.items() for part in pair])
        pipe.execute()
        self._storage.note_installed()

    def missing(self) -> bool:
        """Whether a server lost what was written to it. Cheap enough to ask each second."""
        return not self._storage.installed() or not self._slots.client.exists(self._key)

    def beside(self) -> dict[str, str]:
        """What RedBeat can't write: name -> definition, or a mark and the reason why it is none."""
        return {str(name): str(text) for name, text in self._slots.client.hgetall(self._key).items() if name}

    def _save(self, name: str, given: Any) -> str:
        """Save an entry by RedBeat's own means; what it can't take is handed back instead."""
        try:
            entry = RedBeatSchedulerEntry(**dict(given, name=name, app=self._app))
        except Exception as error:  # noqa: BLE001 - a configuration may hold anything
            return f"{BROKEN}expected an entry as beat_schedule takes it; got {given!r} ({type(error).__name__}: {error})."
        if entry.schedule is None or not entry.task:
            return f"{BROKEN}expected a task and a schedule; got {given!r}."
        entry.last_run_at = self._last_run(entry) or entry.last_run_at
        try:
            entry.save()
        except (TypeError, ValueError) as error:
            return _beside(entry, error)
        return ""

    def _last_run(self, entry: Any) -> Any:
        try:
            return RedBeatSchedulerEntry.load_meta(entry.key, app=self._app)["last_run_at"]
        except (ValueError, TypeError, LookupError):
            return None


class _Encoder(RedBeatJSONEncoder):  # type: ignore[misc]  # RedBeat is untyped
    def default(self, obj: Any) -> Any:
        if isinstance(obj, solar):
            return {"__type__": "solar", "event": obj.event, "lat": obj.lat, "lon": obj.lon}
        if isinstance(obj, (set, frozenset, range)):
            return sorted(obj)
        return super().default(obj)


def _beside(entry: Any, error: Exception) -> str:
    if not isinstance(entry.schedule, (solar, crontab)):
        return f"{BROKEN}{error}"
    try:
        return json.dumps({field: getattr(entry, field) for field in _FIELDS}, cls=_Encoder)
    except (TypeError, ValueError) as unwritable:
        return f"{BROKEN}{unwritable}"


def _with_defaults(app: Any) -> Mapping[str, Any]:
    """The configuration's entries, and Celery's own for a result backend that does not clean up after itself."""
    wanted = dict(app.conf.beat_schedule or {})
    if app.conf.result_expires and not app.backend.supports_autoexpire:
        cleanup = {"task": _CLEANUP, "schedule": crontab("0", "4", "*"), "options": {"expires": 12 * 3600}}
        wanted.setdefault(_CLEANUP, cleanup)
    return wanted

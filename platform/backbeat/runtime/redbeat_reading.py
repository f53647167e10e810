"""One entry of RedBeat's storage, made into what stands for it in our index. A broken one is parked, never raised."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from backbeat.core.entry import Entry, entries_of
from backbeat.core.foreign import foreign_id
from backbeat.core.redbeat import Ran, read, read_meta
from backbeat.core.redbeat_spec import ours_of, spec_of
from backbeat.core.template import Template
from backbeat.errors import BackbeatError
from backbeat.runtime.celery_routes import Routes
from backbeat.store.foreign import Foreign
from backbeat.store.redbeat import RawEntry

log = logging.getLogger("backbeat.beat")


class Reader:
    """Reads entries by the rules of one Celery app. `has_job` tells whether a job of that name is in the index."""

    def __init__(self, app: Any, routes: Routes, has_job: Callable[[str], bool]) -> None:
        self._routes = routes
        self._has_job = has_job
        self.tz = zone_of(app)

    def foreign(self, raw: RawEntry, name: str, now: int, *, known: bool) -> Foreign:
        """What is to stand in the index.

        An entry that was not `known` goes on where it ended (its last run); one that was, from `now` on (epoch ms), so
        that an edit never fires what is past.
        """
        entry_id, ran = foreign_id(name), read_meta(raw.meta)
        blank = Foreign(entry_id, raw.key, count=ran.count)
        try:
            return self._read(blank, raw, ran, now, known=known)
        except (BackbeatError, ArithmeticError, LookupError, RecursionError, TypeError, ValueError, AttributeError) as error:
            log.error("RedBeat's entry %r is parked: %s", name, error)  # noqa: TRY400 - the reason says it all
            return replace(blank, reason=str(error))

    def _read(self, blank: Foreign, raw: RawEntry, ran: Ran, now: int, *, known: bool) -> Foreign:
        saved, ours = read(raw.definition), ours_of(raw.ours)
        if job := ours.get("imported"):
            if not self._has_job(str(job)):
                raise LookupError(f"it was imported as the job {job!r}, which is not there; import it again, or delete the entry")
            return blank
        if not saved.enabled:
            return blank
        spec, options = spec_of(blank.id, saved, ran, self.tz, ours)
        template = replace(Template.of(spec), sending=self._routes.sending(saved.task, saved.args, saved.kwargs or {}, options))
        entry: Entry = replace(entries_of(spec)[0], template_id=template.id)
        since = now if known or ran.last is None else ran.last
        return replace(blank, entry=entry, template=template, first=entry.timing.next(since))


def zone_of(app: Any) -> str:
    """The IANA name of an app's zone, UTC when it has none."""
    return str(getattr(app.timezone, "key", None) or app.conf.timezone or "UTC")

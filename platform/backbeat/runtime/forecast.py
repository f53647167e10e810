"""The load to come, computed from the scheduler's own index."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from backbeat.core import entry as entries
from backbeat.core.entry import Entry
from backbeat.core.forecast import MINUTE_MS, Forecast
from backbeat.core.keys import SlotKeys
from backbeat.core.when import iso
from backbeat.errors import BackbeatError
from backbeat.store.store import Store

PAGE = 1_000
Counted = tuple[str, Entry, int | None]


def forecast(store: Store, hours: int) -> Forecast:
    """Count what is due in the hours to come, reading the index in pages.

    Parked entries, those without another occurrence, and those that can't be read are left out.
    """
    now = store.slots.now_ms()
    counted = Forecast(now - now % MINUTE_MS, hours * 60)
    for keys in store.slots.all:
        page: list[str] = []
        for schedule_id, score in store.slots.client.zscan_iter(keys.due, count=PAGE):
            if score != float(entries.NEVER):
                page.append(str(schedule_id))
            if len(page) >= PAGE:
                counted.add(_entries(store, keys, page))
                page = []
        counted.add(_entries(store, keys, page))
    return counted


def _entries(store: Store, keys: SlotKeys, ids: list[str]) -> Iterator[Counted]:
    if not ids:
        return
    records = store.slots.client.hmget(keys.entries, ids)
    for schedule_id, record in zip(ids, records, strict=True):
        try:
            entry = entries.read(schedule_id, str(record or ""), store.calendars.known)
        except BackbeatError:
            continue
        template = store.index.template(keys.slot, entry.template_id)
        yield template.queue if template else "?", entry, _left(store, keys, entry)


def _left(store: Store, keys: SlotKeys, entry: Entry) -> int | None:
    if entry.timing.limit is None:
        return None
    return max(0, entry.timing.limit - int(store.slots.client.hget(keys.spent, entry.id) or 0))


def as_data(counted: Forecast, top: int) -> dict[str, Any]:
    """The forecast as plain data, with names that stay."""
    total = counted.total()
    return {
        "since": iso(counted.since),
        "minutes": counted.minutes,
        "runs": sum(total),
        "per_hour": [sum(total[first : first + 60]) for first in range(0, counted.minutes, 60)],
        "busiest": [
            {"minute": iso(moment), "runs": count, "queues": counted.at(moment)} for moment, count in counted.busiest(top)
        ],
        "queues": {queue: _queue(counted, list(counts)) for queue, counts in sorted(counted.queues.items())},
    }


def _queue(counted: Forecast, counts: list[int]) -> dict[str, Any]:
    peak = max(counts)
    at = iso(counted.since + counts.index(peak) * MINUTE_MS) if peak else None
    return {"runs": sum(counts), "peak": peak, "peak_minute": at}

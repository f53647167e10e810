"""Sunrise, dusk and their like as instants; needs ephem. The events and their horizons are those of Celery's `solar`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any

from backbeat.core.when import Solar
from backbeat.errors import BadSchedule

DAY = 86_400
_POLAR_NIGHT = 400
"""Days without the event after which it is taken never to come."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HORIZONS = {"astronomical": "-18", "nautical": "-12", "civil": "-6", "sunrise": "-0:34", "sunset": "-0:34"}


class Sun:
    """The instants of one event at one place."""

    def __init__(self, when: Solar) -> None:
        try:
            self._ephem: Any = import_module("ephem")
        except ImportError:
            raise BadSchedule("schedule", "solar schedules need the package ephem: install backbeat[solar].") from None
        kind, _, twilight = when.event.partition("_")
        self._observer = self._ephem.Observer()
        self._observer.lat, self._observer.lon = str(when.lat), str(when.lon)
        self._observer.elevation = self._observer.pressure = 0
        self._observer.horizon = _HORIZONS.get(twilight) or _HORIZONS.get(kind, "0")
        self._method = {"dawn": "next_rising", "sunrise": "next_rising", "solar": "next_transit"}.get(kind, "next_setting")
        self._centre = {"use_center": True} if kind in ("dawn", "dusk") else {}
        self._midnight = round(-when.lon * 240)

    def after(self, moment: int) -> Iterator[int]:
        """Every instant after a moment (UTC seconds), to the second; at most one each solar day.

        Each day is asked from its own midnight, so that an instant is the same whoever asks, and from when.
        """
        day, silent = (moment - self._midnight) // DAY - 1, 0
        while silent < _POLAR_NIGHT:
            instant = self._of_day(day * DAY + self._midnight)
            silent = silent + 1 if instant is None else 0
            if instant is not None and instant > moment:
                yield instant
            day += 1

    def _of_day(self, midnight: int) -> int | None:
        start = self._ephem.Date((_EPOCH + timedelta(seconds=midnight)).replace(tzinfo=None))
        try:
            found = getattr(self._observer, self._method)(self._ephem.Sun(), start=start, **self._centre)
        except self._ephem.CircumpolarError:
            return None
        instant = round((found.datetime().replace(tzinfo=UTC) - _EPOCH).total_seconds())
        return instant if instant < midnight + DAY else None

"""Addresses for a scheduler that was put in front of a plain Celery app: `celery -A proj beat -S backbeat.Scheduler`."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import parse_qs, urlsplit

from backbeat.conf import REDIS_SCHEMES
from backbeat.errors import ConfigurationError
from backbeat.runtime.app import Backbeat


def adopt_addresses(app: Any) -> None:
    """Take Redis and the broker from the app's own settings where the environment names none.

    Put into the environment, so that everything in this process reads the same. A Backbeat app has them from there
    already. Raises ConfigurationError for a setting under which messages would go where no worker looks.
    """
    if isinstance(app, Backbeat):
        return
    options = app.conf.broker_transport_options or {}
    if options.get("global_keyprefix"):
        raise ConfigurationError(
            "broker_transport_options: expected no global_keyprefix, which would hide queues from the scheduler;"
            f" got {options['global_keyprefix']!r}. Give the broker a database of its own instead."
        )
    broker = str(app.conf.broker_write_url or app.conf.broker_url)
    os.environ.setdefault("BROKER_URL", broker)
    os.environ.setdefault("REDIS_URL", _redis_url(str(app.conf.get("redbeat_redis_url") or broker)))


def _redis_url(url: str) -> str:
    """The same server as redis-py writes it."""
    parts = urlsplit(url)
    if parts.scheme in ("redis+socket", "socket"):
        database = (parse_qs(parts.query).get("virtual_host") or ["0"])[0].strip("/")
        return f"unix://{parts.path}?db={database}"
    if parts.scheme in REDIS_SCHEMES:
        return url
    raise ConfigurationError(
        f"REDIS_URL: expected a Redis for the index, as {', '.join(f'{one}://' for one in REDIS_SCHEMES)}; this app names"
        f" {parts.scheme}://. Set REDIS_URL to the server that RedBeat used."
    )

"""Messages of stock producers, looked at before they reach the pool: what may not wait in a worker, or not reach it at all."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any

from celery.exceptions import Ignore
from kombu.utils.encoding import bytes_to_str

from backbeat.core.arguments import too_much
from backbeat.core.when import to_ms
from backbeat.errors import BadArguments
from backbeat.runtime.canvas import canvas_in
from backbeat.runtime.claims import foreign_fields, refuse, request_of
from backbeat.runtime.insist import OUTAGE
from backbeat.store.store import open_store

log = logging.getLogger("backbeat.worker")

Handler = Callable[..., Any]


def intake(hostname: str, handle: Handler) -> Handler:
    """Celery's handler of messages for a job, for those that are like ours; the others are dealt with here."""

    def take(message: Any, body: Any, ack: Any, reject: Any, callbacks: Any, **options: Any) -> Any:
        if not message.headers.get("backbeat") and _dealt_with(message, hostname):
            message.ack_log_error(log, ())
            return None
        return handle(message, body, ack, reject, callbacks, **options)

    return take


def _dealt_with(message: Any, hostname: str) -> bool:
    """Refuse what can't be kept, and put what shall wait on the time index: a worker would hold it until then."""
    try:
        if reason := too_much(bytes_to_str(message.body)):
            refuse(request_of(message, hostname), BadArguments("args", reason))
            return True
        if message.headers.get("eta"):
            return _postponed(request_of(message, hostname))
    except Ignore:
        return True
    except OUTAGE as error:
        log.warning("Redis does not answer, so Celery's own way is taken: %s", error)
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        log.debug("left to Celery: %s", error)
    return False


def _postponed(request: Any) -> bool:
    store = open_store()
    eta = datetime.fromisoformat(request.eta)
    delay = (to_ms(eta.astimezone()) - store.slots.now_ms()) / 1000
    if delay <= 0:
        return False
    fields = foreign_fields(store, request.task, request, request.args, request.kwargs)
    canvas = {"cv": text} if (text := canvas_in(request)) else {}
    store.ledger.submit(request.id, fields | canvas, "", delay)
    log.info("run %s: waits %.3g s on the time index", request.id, delay)
    return True

"""Celery's canvas: what comes after a run whose message brings more, and segments of DAGs sent as chain and chord."""

from __future__ import annotations

import json
import logging
from base64 import b64decode, b64encode
from collections.abc import Mapping
from functools import cache
from typing import Any

import kombu.pools
from celery import _state, chain, chord
from celery.canvas import Signature
from celery.result import AsyncResult
from kombu.utils import json as celery_json

from backbeat.core.message import ORIGIN, dumps
from backbeat.core.plan_segments import Kind
from backbeat.core.template import Template
from backbeat.errors import BackbeatError
from backbeat.store.store import Store

log = logging.getLogger("backbeat.worker")

_PLAIN_HEADERS: Mapping[str, Any] = {
    "lang": "py", "shadow": None, "eta": None, "expires": None, "retries": 0, "origin": ORIGIN, "ignore_result": True,
    "replaced_task_nesting": 0, "stamped_headers": None, "stamps": {}, "argsrepr": "()", "kwargsrepr": "{}",
}  # fmt: skip
CARRIES = "1"
"""What the ledger notes of a node whose message brings that of its child: which child that is, the graph knows."""
_BODY = ("callbacks", "errbacks", "chain", "chord")
_HEADERS = ("group", "group_index", "root_id", "parent_id", "reply_to", "replaced_task_nesting", "stamped_headers", "stamps")


def canvas_in(request: Any) -> str:
    """What a message says of canvas, as JSON text; empty for a task that stands alone."""
    if is_node(request):
        return CARRIES if request.chain or request.chord else ""
    body = {name: value for name in _BODY if (value := getattr(request, name, None))}
    group = getattr(request, "group", None)
    if not body and group is None:
        return ""
    headers = {name: value for name in _HEADERS if (value := getattr(request, name, None))}
    # Celery's own JSON: there may be dates in what is to come.
    return str(celery_json.dumps({"body": body, "headers": headers}))


def with_canvas(message: str, canvas: str) -> str:
    """An envelope that says it again."""
    known, envelope = json.loads(canvas), json.loads(message)
    args, kwargs, embed = json.loads(b64decode(envelope["body"]))
    envelope["body"] = b64encode(dumps([args, kwargs, {**embed, **known["body"]}]).encode()).decode()
    envelope["properties"]["reply_to"] = known["headers"].pop("reply_to", "")
    envelope["headers"] |= known["headers"]
    return dumps(envelope)


def is_node(request: Any) -> bool:
    """Whether this message came by canvas that a DAG run sent."""
    return "node" in (getattr(request, "backbeat", None) or {})


def let_go(request: Any) -> None:
    """Keep a node's failure from Celery's canvas. What it means to other nodes is decided by the ledger, and only there."""
    request.chain = request.chord = request.group = None


def send(store: Store, run_id: str, segment: str) -> None:
    """Send a segment (JSON, as lua/dag_step.lua tells it) of a DAG run. Never raises for want of a broker or a template:

    the runs of its nodes are in the ledger, which sends messages of its own when nobody claims them in time.
    """
    kind, nodes = json.loads(segment)
    try:
        parts = [_part(store, run_id, node, text) for node, text in store.dag_data.kinds(run_id, nodes)]
        app = _state.get_current_app()
        whole = chain(*parts, app=app) if kind == Kind.CHAIN else chord(parts[:-1], parts[-1], app=app)
        whole.apply_async()
    except Exception as error:  # noqa: BLE001 - any broker's own errors; the node before has ended well, whatever comes now
        log.warning("DAG run %s: a %s of %d nodes was not sent, the ledger will: %s", run_id, kind, len(nodes), error)


def hand_over(app: Any, task: str, run_id: str, options: Mapping[str, Any]) -> AsyncResult:
    """Publish the message of a node, as canvas asks for with these options of `apply_async`.

    By hand, since Celery's own way takes four times as long; without waiting for the broker's confirmation, which would
    hold up this worker; and without raising. Should the broker be away, or lose it, the ledger sends the node a moment
    later, and the one before it has ended well all the same.
    """
    embed = {"callbacks": None, "errbacks": None, "chain": options.get("chain"), "chord": options.get("chord")}
    headers = {
        **_PLAIN_HEADERS,
        "task": task,
        "id": run_id,
        "root_id": options.get("root_id") or run_id,
        "parent_id": options.get("parent_id"),
        "group": options.get("group_id"),
        "group_index": options.get("group_index"),
        "timelimit": [options.get("time_limit"), options.get("soft_time_limit")],
        **options["headers"],
    }
    try:
        with _producers(app).acquire(block=True) as producer:
            producer.publish(
                dumps([[], {}, embed]), content_type="application/json", content_encoding="utf-8", headers=headers,
                exchange="", routing_key=options["queue"], correlation_id=run_id, delivery_mode=2,
                retry=True, retry_policy={"max_retries": 1, "interval_start": 0},
            )  # fmt: skip
    except Exception as error:  # noqa: BLE001 - each broker has errors of its own, and none may reach canvas
        log.warning("run %s: not sent by canvas, the ledger will: %s", run_id, error)
    return AsyncResult(run_id, app=app)


@cache
def _producers(app: Any) -> Any:
    """Connections of our own to the broker: those of the app wait for confirmations. Without heartbeats, which nobody would
    send while there is nothing else to send.
    """
    options = {**app.conf.broker_transport_options, "confirm_publish": False}
    return kombu.pools.producers[app.connection_for_write(transport_options=options, heartbeat=0)]


def _part(store: Store, run_id: str, node: str, kind: str) -> Signature:
    """The message of one node. It has no arguments: the ledger knows them, so that no part grows with them."""
    known, keys = json.loads(kind), store.slots.of(run_id)
    template: Template | None = store.index.template(keys.slot, known["t"])
    if template is None:
        raise BackbeatError(f"the policies of node {node!r} are gone")
    outline = template.outline
    limits = {"time_limit": outline.timeout, "soft_time_limit": outline.soft_timeout, "priority": outline.priority}
    options = {
        "task_id": f"{run_id}/{node}",
        "queue": known["q"],
        "ignore_result": True,
        "headers": {**json.loads(f"{{{outline.headers}}}"), "backbeat": {"slot": keys.slot, "node": 1}},
        **{name: value for name, value in limits.items() if value},
    }
    return Signature(outline.task, immutable=True, options=options)

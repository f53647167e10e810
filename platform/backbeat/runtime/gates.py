"""What a worker tells the gates of a limited job: the run's keys, by its arguments, and the message that lets it in later."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from celery import current_app

from backbeat.core.limits import filled
from backbeat.core.message import dumps
from backbeat.errors import GraphError
from backbeat.runtime import registry
from backbeat.runtime.dag_advance import arguments_of_node
from backbeat.runtime.params import Params
from backbeat.runtime.redeliver import message_of
from backbeat.store.store import Store


def told(store: Store, run_id: str, fields: Mapping[str, str]) -> str:
    """What lua/gate.lua asks for, as JSON text. `fields` are those of a claim that was `gated`."""
    limits = json.loads(fields["limits"])
    keys = {}
    if "ck" in limits or "rk" in limits:
        template = store.index.template(store.slots.of(run_id).slot, fields["tid"])
        arguments = _arguments(store, fields, template.task if template is not None else fields["j"])
        keys = {name: filled(limits[name], arguments) for name in ("ck", "rk") if name in limits}
    return dumps({**keys, "m": message_of(store, run_id, fields) or ""})


def _arguments(store: Store, fields: Mapping[str, str], task: str) -> dict[str, Any]:
    """A run's arguments by name. Those given by position to a task whose code is not here have none."""
    try:
        args, kwargs = arguments_of_node(store, fields)
    except GraphError:
        # The attempt will fail with the same sentence, at the place where it is recorded.
        return {}
    params = _params(fields["j"], task)
    return dict(kwargs) if params is None else params.named(args, kwargs)


def _params(job: str, task: str) -> Params | None:
    known = registry.jobs.get(job) or registry.jobs.get(task)
    if known is not None:
        return known.params
    plain = current_app.tasks.get(task)
    return None if plain is None else Params.of_task(plain.run)

"""What a keeper does, put together from the store and the ports that the Django app implements."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backbeat.conf import settings
from backbeat.errors import NewerPolicy
from backbeat.runtime.dag_keeper import DagKeeper
from backbeat.runtime.identity import INCARNATION
from backbeat.runtime.keeper import Duty
from backbeat.runtime.lines import lines_of
from backbeat.runtime.ports import Definitions, History
from backbeat.runtime.publisher import Publisher
from backbeat.runtime.reaper import Reaper
from backbeat.runtime.recorder import REST, Recorder
from backbeat.runtime.sweeper import Sweeper
from backbeat.store.events import EventStreams
from backbeat.store.outbox import Outbox
from backbeat.store.store import Store, open_store

TEND_EVERY = 4.0
"""Seconds until what is only found by looking takes effect: the end of a pause, an edit whose author could not reach Redis."""
TIDY_EVERY = 3600.0
REAP_EVERY = 0.5
"""Seconds between two looks: how late a due retry may be."""
LOOK_AT_GRAPHS_EVERY = 1.0
"""A DAG run is taken on by whoever ends its nodes; a keeper looks after those that stand still, a second after they began to."""


def duties(app: Any, history: History, definitions: Definitions) -> list[Duty]:
    """The duties of one keeper. The publisher is only needed when the broker is not the ledger's own server."""
    store = open_store()
    streams = EventStreams(store.slots, INCARNATION)
    recorder = Recorder(streams, history, lambda run_id, tid: policies(store, run_id, tid), rest=REST)
    reaper = Reaper(store, settings().run_lease, lines_of(app, store), settings().aging)
    sweeper = Sweeper(store, definitions)
    retention = settings().history_retention
    found = [
        Duty("recorder", recorder.step, 0.0, recorder.start),
        Duty("reaper", reaper.step, REAP_EVERY),
        Duty("sweeper", sweeper.step, sweeper.pause),
        Duty("definitions", definitions.tend, TEND_EVERY),
        Duty("months", lambda: history.tidy(retention), TIDY_EVERY),
        Duty("graphs", DagKeeper(store).step, LOOK_AT_GRAPHS_EVERY),
    ]
    if not store.slots.direct:
        publisher = Publisher(app, Outbox(store.slots, INCARNATION))
        found.append(Duty("publisher", publisher.step, 0.0, publisher.begin))
    return found


def policies(store: Store, run_id: str, template_id: str) -> Mapping[str, Any]:
    """What history keeps of a run's policies."""
    try:
        template = store.index.template(store.slots.of(run_id).slot, template_id)
    except NewerPolicy:
        # History must not wait for an update.
        template = None
    return {} if template is None else {"task": template.task, "pool": template.pool, "priority": template.priority}

"""An attempt at a node of a DAG run: its arguments come from other nodes, and others may need what it returns."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from backbeat.conf import settings
from backbeat.runtime import payloads
from backbeat.runtime.context import current_run
from backbeat.runtime.dag_advance import advance, arguments_of_node
from backbeat.runtime.insist import OUTAGE
from backbeat.store.store import Store

log = logging.getLogger("backbeat.worker")

ITEM_LIMIT = 8 * 1024
"""Bytes of one item's output in Redis: there may be ten thousand of them. Larger ones are kept as files."""


class DagNode:
    """What is special about a run that is a node. `output` is what its children get, as it is kept."""

    def __init__(self, store: Store, fields: Mapping[str, str]) -> None:
        self._store = store
        self._fields = fields
        self.output = ""

    def doing(self, work: Callable[..., Any]) -> Callable[..., Any]:
        """The work with the node's own arguments instead of the message's, which has none. Its errors are the attempt's."""

        def with_own_arguments(*_args: Any, **_kwargs: Any) -> Any:
            args, kwargs = arguments_of_node(self._store, self._fields)
            run = current_run()
            run.args, run.kwargs = args, kwargs
            value = work(*args, **kwargs)
            if "ko" in self._fields:
                limit = settings().result_limit
                self.output = payloads.keep(self._fields["d"], value, min(limit, ITEM_LIMIT) if "it" in self._fields else limit)
            return value

        return with_own_arguments

    def advance(self) -> None:
        """Do what the end of this node has left to do. Never raises for an outage: then a keeper does it a moment later."""
        try:
            advance(self._store, self._fields["d"])
        except OUTAGE as error:
            log.warning("DAG run %s: Redis does not answer, a keeper takes it on: %s", self._fields["d"], error)

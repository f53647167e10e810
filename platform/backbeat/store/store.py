"""The whole store of one process, made from the settings once."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property

from redis.exceptions import BusyLoadingError, ConnectionError, TimeoutError  # noqa: A004 - redis-py's own names

from backbeat.conf import Settings, same_server, settings
from backbeat.store.calendars import Calendars
from backbeat.store.connect import connect
from backbeat.store.dag_ledger import DagLedger
from backbeat.store.dag_outputs import DagOutputs
from backbeat.store.index import ScheduleIndex
from backbeat.store.layout import Layout
from backbeat.store.ledger import Ledger
from backbeat.store.slots import Slots


@dataclass(frozen=True)
class Store:
    """Index and ledger over one connection pool. Safe over fork: redis-py opens new connections in a child."""

    slots: Slots

    @cached_property
    def index(self) -> ScheduleIndex:
        """What is due when."""
        return ScheduleIndex(self.slots, self.calendars)

    @cached_property
    def calendars(self) -> Calendars:
        """On which days nothing is due."""
        return Calendars(self.slots)

    @cached_property
    def ledger(self) -> Ledger:
        """What is being done."""
        return Ledger(self.slots)

    @cached_property
    def dags(self) -> DagLedger:
        """What is being done by graphs."""
        return DagLedger(self.slots)

    @cached_property
    def dag_data(self) -> DagOutputs:
        """What the nodes of graphs leave for each other."""
        return DagOutputs(self.slots)

    def check_layout(self) -> None:
        """Compare the number of slots with what Redis remembers, once; an absent one later. Raises ConfigurationError."""
        if "_laid_out" not in self.__dict__:
            with suppress(ConnectionError, TimeoutError, BusyLoadingError):
                self.layout.check()
                self.__dict__["_laid_out"] = True

    @cached_property
    def layout(self) -> Layout:
        """How all of it is divided."""
        return Layout(self.slots)


def open_store(conf: Settings | None = None) -> Store:
    """The store that these settings (by default the process's own) describe; made once for each."""
    store = _open(conf or settings())
    store.check_layout()
    return store


@cache
def _open(conf: Settings) -> Store:
    direct = same_server(conf.broker_url, conf.redis_url)
    return Store(Slots(connect(conf.redis_url), conf.prefix, conf.slots, direct, conf.requeue_after, conf.key_retention))

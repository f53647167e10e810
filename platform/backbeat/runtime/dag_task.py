"""The Celery task of a DAG: its message starts the run's nodes and is then done with."""

from __future__ import annotations

import logging
import time
from typing import Any, NoReturn

from celery.exceptions import Ignore, Reject

from backbeat.errors import BackbeatError
from backbeat.runtime import registry
from backbeat.runtime.attempt import execute
from backbeat.runtime.dag_start import start_run
from backbeat.runtime.insist import OUTAGE
from backbeat.runtime.task import JobTask
from backbeat.store.store import open_store

log = logging.getLogger("backbeat.worker")


class DagTask(JobTask):
    """Turns a queued run into a DAG run. A DAG that can't start ends as a failed run that says why."""

    abstract = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Called by the worker: start the nodes. Called by you: run the graph here."""
        if self.request.called_directly or self.request.is_eager:
            from backbeat.runtime.dag_inline import run_inline

            graph = registry.get(self.name).dag
            assert graph is not None  # noqa: S101 - only DAGs get this task
            return run_inline(graph, args, kwargs)
        try:
            outcome = start_run(open_store(), self, args, kwargs)
        except OUTAGE as error:
            log.warning("DAG run %s: Redis does not answer, the message goes back: %s", self.request.id, error)
            time.sleep(1)
            raise Reject(requeue=True) from error
        except BackbeatError as error:
            return execute(self, args, kwargs, _raising(error))
        if outcome not in ("started", "waits"):
            log.info("DAG run %s: message dropped, the run is %s", self.request.id, outcome)
            raise Ignore
        return None


def _raising(error: BackbeatError) -> Any:
    def work(*_args: Any, **_kwargs: Any) -> NoReturn:
        raise error

    return work

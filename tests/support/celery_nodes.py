"""pytest-celery without Docker: its nodes drive processes of ours through the few methods that they ask of a container."""

from __future__ import annotations

import signal as signals
from typing import Any

import celery
from kombu import Exchange, Queue
from pytest_celery import (
    CeleryBackendCluster,
    CeleryBrokerCluster,
    CeleryTestBackend,
    CeleryTestBroker,
    CeleryTestSetup,
    CeleryTestWorker,
    CeleryWorkerCluster,
)

from tests.support.eventually import eventually
from tests.support.processes import OwnProcess


class ProcessAsContainer:
    """A process of ours in the words of a container."""

    def __init__(self, process: OwnProcess, prompt: str = "", config: dict[str, Any] | None = None) -> None:
        self._process, self._prompt = process, prompt
        self.celeryconfig = config or {}
        self.name = process.name
        self.id = process.name.ljust(12, "0")

    @property
    def status(self) -> str:
        """Docker's word for whether it runs."""
        return "running" if self._process.alive else "exited"

    def ready(self) -> bool:
        """Wait for the line that says so."""
        return bool(eventually(lambda: self._prompt in self.logs(), within=40, message=self.logs))

    def logs(self) -> str:
        """What it printed since its last start."""
        return self._process.logs(100_000)

    def kill(self, signal: str | int = "SIGKILL") -> None:
        """Send a signal to the whole of it and wait for its end."""
        if self._process.alive:
            self._process.stop(signals.Signals[signal] if isinstance(signal, str) else signals.Signals(signal))

    def restart(self, timeout: float = 10) -> None:
        """Start it anew with an empty log, so that its prompt is awaited anew."""
        self._process.stop(within=timeout)
        self._process.log.write_text("")
        self._process.start()
        self.ready()

    def reload(self) -> None:
        """Nothing is cached."""

    def teardown(self) -> None:
        """End it."""
        self._process.stop()


class WorkerNode(CeleryTestWorker):
    """A worker of ours, by its name and queue."""

    def __init__(self, process: OwnProcess, app: celery.Celery, queue: str) -> None:
        super().__init__(ProcessAsContainer(process, " ready."), app)
        self._queue = queue

    @property
    def worker_queue(self) -> str:
        """The queue that pings are sent to."""
        return self._queue

    def hostname(self) -> str:
        """The node name that Celery knows."""
        return f"{self.name()}@test"


def setup_of(broker: OwnProcess, url: str, backend_url: str, worker: OwnProcess, queue: str) -> CeleryTestSetup:
    """A whole pytest-celery set-up around servers and a worker that run already; its app is a stock Celery app."""
    # A producer that knows nothing of our queues' arguments must leave their declaration to our workers.
    queues = [Queue(queue, Exchange(""), routing_key=queue, no_declare=True)]
    config = {"broker_url": url, "result_backend": backend_url, "task_queues": queues}
    app = CeleryTestSetup.create_setup_app(config, "stock_client")
    app.set_current()
    return CeleryTestSetup(
        worker_cluster=CeleryWorkerCluster(WorkerNode(worker, app, queue)),
        broker_cluster=CeleryBrokerCluster(
            CeleryTestBroker(ProcessAsContainer(broker, config={"url": url, "host_url": url}), app)
        ),
        backend_cluster=CeleryBackendCluster(
            CeleryTestBackend(ProcessAsContainer(broker, config={"url": backend_url, "host_url": backend_url}), app)
        ),
        app=app,
    )

"""A Redis Cluster for tests: three masters, and one replica for the master that a test may kill."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from backbeat.runtime.embedded import bundled_server
from backbeat.store.connect import connect
from tests.support.eventually import eventually
from tests.support.processes import OwnProcess, free_port

SLOTS = 16384
MASTERS = 3


class ClusterNode(OwnProcess):
    """One Valkey server of a cluster, on two loopback ports."""

    def __init__(self, folder: Path, name: str) -> None:
        self.port, self.bus = free_port(), free_port()
        argv = [bundled_server(), "--bind", "127.0.0.1", "--port", str(self.port), "--dir", folder, "--appendonly", "yes"]
        argv += ["--cluster-enabled", "yes", "--cluster-port", str(self.bus), "--cluster-node-timeout", "1500"]
        argv += ["--maxmemory-policy", "noeviction", "--repl-diskless-sync-delay", "0", "--cluster-replica-validity-factor", "0"]
        super().__init__(name, argv, folder)

    def ask(self, *command: str | int) -> object:
        """An answer of this very node."""
        with redis.Redis(port=self.port, decode_responses=True, protocol=2) as client:
            return client.execute_command(*command)

    def replication(self) -> dict[str, object]:
        """What it says of itself as a master or a replica."""
        return dict(self.ask("INFO", "replication"))  # type: ignore[call-overload,no-any-return]  # redis-py reads it so

    def start(self) -> None:
        """Start it and wait until it answers."""
        super().start()
        eventually(self._answers, within=10, message=lambda: f"a node answers; its log ends with\n{self.logs()}")

    def _answers(self) -> bool:
        try:
            return bool(self.ask("PING"))
        except (redis.ConnectionError, redis.BusyLoadingError):
            assert self.alive, self.logs()
            return False


class ClusterServers:
    """The whole cluster. `masters[0]` has a replica that takes its place when it dies."""

    def __init__(self, folder: Path) -> None:
        nodes = []
        for number in range(MASTERS + 1):
            (folder / str(number)).mkdir()
            nodes.append(ClusterNode(folder / str(number), f"node{number}"))
        self.masters, self.replica = nodes[:MASTERS], nodes[MASTERS]
        self.nodes = nodes

    @property
    def url(self) -> str:
        """The ledger's URL."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def client(self) -> redis.Redis:
        """A client as the engine makes it."""
        return connect(self.url)

    def start(self) -> None:
        """Start the nodes, give each master a third of the slots, and wait until all agree."""
        for number, node in enumerate(self.nodes):
            node.start()
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        bounds = [SLOTS * number // MASTERS for number in range(MASTERS + 1)]
        for node, first, past in zip(self.masters, bounds, bounds[1:], strict=False):
            node.ask("CLUSTER", "ADDSLOTSRANGE", first, past - 1)
        for node in self.nodes[1:]:
            node.ask("CLUSTER", "MEET", "127.0.0.1", self.masters[0].port, self.masters[0].bus)
        eventually(lambda: all(self._agrees(node) for node in self.nodes), within=20, message="the nodes of the cluster agree")
        self.replica.ask("CLUSTER", "REPLICATE", str(self.masters[0].ask("CLUSTER", "MYID")))
        eventually(lambda: self.replica.replication().get("master_link_status") == "up", within=20, message=self.replica.logs)

    def stop(self) -> None:
        """Stop every node."""
        for node in self.nodes:
            node.stop()

    def _agrees(self, node: ClusterNode) -> bool:
        seen = str(node.ask("CLUSTER", "INFO"))
        return "cluster_state:ok" in seen and f"cluster_known_nodes:{len(self.nodes)}" in seen


@contextmanager
def running_cluster(server_folder: Path, name: str) -> Iterator[ClusterServers]:
    """A cluster of one's own, empty at first."""
    folder = server_folder / name
    folder.mkdir(mode=0o711)
    made = ClusterServers(folder)
    try:
        made.start()
        yield made
    finally:
        made.stop()

"""How fast do graphs run, against Celery's own chain and chord in the same worker on the same broker?

usage: dag.py [--rounds 3] [--fan 1000] [--layer 100] [--graph FILE] [--plan FILE] [--no-rabbitmq] [--no-outside]
              [--only WORD,WORD]

Equal for all: one Redis-compatible server (append-only file, everysec) for queues, results and the ledger, one worker
process with two children, no-op functions that note begin and end in a file by one clock; Celery's tasks ignore their
results, which is the cheapest that canvas can be. Ours claims each node, keeps its state in the ledger and tells history,
which a keeper records meanwhile on the same two cores; a worker goes on from node to node as it does by default (decision
043), where every task of Celery's has a message; before anybody's turn the keeper has caught up. "history later" lets it
sleep until the last node has ended, as a keeper on another machine would not be felt. Times go from the first begin to the last
end. The bare rate is that of Celery's own task whose messages all wait in the queue before the first one runs: "x bare" is
a graph's time by the time that so many bare tasks take. "batch" is the same graph of a job with @job(batch=100), whose nodes
share messages: each is claimed, kept and recorded all the same. On RabbitMQ each engine is forced in turn, and hops also
go as they do by default (decision 012).

Dask and Prefect are timed once, with two workers in an environment of their own (.venv-outside, made when first needed; left out
when it can't be). Dask keeps everything in memory; Prefect has a server with SQLite.

--graph: a recorded graph, with tasks that take no time; then again with its own times at a thousandth, on 64 threads.
--plan: a recorded graph that is only planned. Forms as `backbeat dag import` reads them; rows without a file are left out.
"""

import argparse
import gc
import json
import os
import signal
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import harness
import networkx as nx

from backbeat.core.dag import Dag, Engine, Node
from backbeat.core.dag_files import read
from backbeat.core.job import JobSpec
from backbeat.core.message import Outline, arguments_of, envelope
from backbeat.core.plan import plan
from backbeat.runtime.binding import DAG_TASK
from tests.support.deployment import Deployment
from tests.support.eventually import eventually
from tests.support.servers import RabbitServer, RedisServer

JOB, TINY, PEER = "bench.node", "bench.tiny", "peer.node"
OUTSIDE = ("distributed==2026.8.0", "prefect==3.9.1")
LENGTHS = (2, 5, 10)
"""Of rows that run side by side, forty nodes together."""
Stamps = dict[str, tuple[int, int]]


class Site:
    """One worker, one keeper, and what its nodes noted."""

    def __init__(self, folder: Path, redis: RedisServer, broker_url: str | None = None) -> None:
        self.stamps = folder / "stamps"
        paths = {"BENCH_STAMPS": str(self.stamps)}
        self.deployment = Deployment(folder, redis.url, broker_url, **paths)
        self.deployment.env["PYTHONPATH"] += f":{harness.SIDES}"
        (folder / "celeryconfig.py").write_text('imports = ("dag_nodes",)\n')
        self.app = self._app(redis, broker_url)
        self._count = 0
        self.doubled = 0
        self.lost = 0

    def _app(self, redis: RedisServer, broker_url: str | None) -> Any:
        from celery import Celery
        from kombu import Exchange, Queue

        app = Celery("client", broker=broker_url or redis.broker_url, backend=redis.broker_url, set_as_current=False)
        # The worker has declared its queues by then, in its own way.
        app.conf.task_queues = [Queue("default.p5", Exchange(""), routing_key="default.p5", no_declare=True)]
        app.conf.task_default_queue = "default.p5"
        app.conf.broker_transport_options = {} if broker_url else {"priority_steps": [0]}
        return app

    def start(self, *more: str, children: int = 2) -> None:
        """A worker, and a keeper."""
        self.deployment.worker("worker", *more, children=children)
        self.deployment.keeper()

    def named(self, word: str) -> str:
        """A name that nothing had before."""
        self._count += 1
        return f"{word}{self._count}"

    def define(self, dag: Dag) -> None:
        """Make a graph known."""
        self.deployment.store.dags.publish(dag)
        self.deployment.store.index.put(JobSpec(dag.name, DAG_TASK))

    def run(self, dag: Dag) -> Stamps:
        """One run of a graph, and what its nodes noted."""
        self.define(dag)
        run_id = self.deployment.submit(dag.name, self.named("r"))
        return self.wait(f"{run_id}/", len(dag.nodes))

    def run_before_history(self, dag: Dag) -> Stamps:
        """The same, while the keeper sleeps: as if it ran on another machine. It records what happened afterwards."""
        keeper = self.deployment.processes["keeper"].pid
        os.kill(keeper, signal.SIGSTOP)
        self.define(dag)
        run_id = self.deployment.submit(dag.name, self.named("r"))
        eventually(lambda: self._noted(f"{run_id}/", len(dag.nodes)), within=300, every=0.05, message=self.deployment.story)
        os.kill(keeper, signal.SIGCONT)
        return self.wait(f"{run_id}/", len(dag.nodes))

    def run_in_a_crowd(self, dag: Dag, letters: int) -> Stamps:
        """One run whose first node works while so many messages for another pool come into the outbox."""
        store = self.deployment.store
        self.define(dag)
        run_id = self.deployment.submit(dag.name, self.named("r"))
        first = f"{run_id}/{dag.nodes[0].id}"
        eventually(lambda: store.ledger.get(first).get("s") == "running", within=60, message=self.deployment.story)
        pipe, outline = store.slots.client.pipeline(transaction=False), Outline(JOB, "crowd.p5")
        for number in range(letters):
            keys = store.slots.all[number % len(store.slots.all)]
            text = envelope(outline, f"crowd{number}", arguments_of((), {}), slot=keys.slot)
            pipe.xadd(keys.outbox, {"q": "crowd.p5", "m": text})
        pipe.execute()
        return self.wait(f"{run_id}/", len(dag.nodes))

    def wait(self, prefix: str, count: int) -> Stamps:
        """The notes of so many nodes, once all are there and nothing of them waits for the keeper."""
        found = eventually(lambda: self._noted(prefix, count), within=300, every=0.05, message=self.deployment.story)
        eventually(self._quiet, within=120, every=0.05, message=self.deployment.story)
        lines = sum(line.startswith(prefix) for line in self.stamps.read_text().splitlines())
        self.doubled += lines - len(found)
        self.lost += count - len(found)
        os.truncate(self.stamps, 0)
        return found

    def _noted(self, prefix: str, count: int) -> Stamps | None:
        lines = self.stamps.read_text().splitlines() if self.stamps.exists() else []
        mine = [line.split() for line in lines if line.startswith(prefix)]
        found = {name: (int(begun), int(ended)) for name, begun, ended in mine}
        return found if len(found) >= count else None

    def _quiet(self) -> bool:
        store = self.deployment.store
        pipe = store.slots.client.pipeline(transaction=False)
        for keys in store.slots.all:
            pipe.xlen(keys.events)
            pipe.zcard(keys.dags)
        return not any(pipe.execute())

    def chain(self, hops: int) -> Stamps:
        """Celery's chain of so many tasks."""
        from celery import chain

        name = self.named("chain")
        parts = [self._peer(f"{name}/{hop}") for hop in range(hops)]
        chain(*parts, app=self.app).apply_async()
        return self.wait(f"{name}/", hops)

    def chord(self, width: int) -> Stamps:
        """A task, then so many at once, then one: Celery's chord behind a chain, all inside the worker."""
        from celery import chain, chord, group

        name = self.named("chord")
        header = group([self._peer(f"{name}/{part}") for part in range(width)], app=self.app)
        body = chord(header, self._peer(f"{name}/join"), app=self.app)
        chain(self._peer(f"{name}/root"), body, app=self.app).apply_async()
        return self.wait(f"{name}/", width + 2)

    def _peer(self, task_id: str) -> Any:
        return self.app.signature(PEER, immutable=True, options={"task_id": task_id, "queue": "default.p5"})

    def bare(self, count: int) -> Stamps:
        """Celery's own task, so many times, all messages there before the first one runs."""
        name, outline, arguments = self.named("bare"), Outline(PEER, "default.p5"), arguments_of((), {})
        letters = [envelope(outline, f"{name}/{number}", arguments, slot=None) for number in range(count)]
        self.deployment.client.lpush("default.p5", *letters)
        return self.wait(f"{name}/", count)


def main() -> None:
    """Measure, interleaved, and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--fan", type=int, default=1000)
    parser.add_argument("--layer", type=int, default=100)
    parser.add_argument("--graph", type=Path)
    parser.add_argument("--plan", type=Path)
    parser.add_argument("--no-rabbitmq", action="store_true")
    parser.add_argument("--no-outside", action="store_true")
    parser.add_argument("--only", default="", help="measure only sides whose name holds one of these words (word,word)")
    options = parser.parse_args()

    figures: dict[str, list[dict[str, Any]]] = {}
    checks = {"lost": 0, "doubled": 0}
    with site() as made:
        figures |= in_turn(sides_on_redis(made, options), options)
        memory = ledger_bytes(made)
        checks = {name: checks[name] + getattr(made, name) for name in checks}
    if not options.no_rabbitmq and RabbitServer.SCRIPT.exists():
        with site("rabbitmq") as made:
            figures |= in_turn(sides_on_rabbitmq(made), options)
            checks = {name: checks[name] + getattr(made, name) for name in checks}
    if options.graph and wanted("timed", options):
        with site("redis", "-P", "threads", children=64) as made:
            figures |= harness.in_turn(1, {"timed": lambda: timed(made, options.graph)})
            checks = {name: checks[name] + getattr(made, name) for name in checks}
    if not options.no_outside:
        figures |= outside(options)
    figures |= in_turn(planning(options.plan), options)
    ratios = ratios_of(figures)
    rows = [("side", "figures"), *((name, shown(answers)) for name, answers in figures.items())]
    rows += [("", ""), *((name, f"{ratio:.2f}") for name, ratio in ratios.items())]
    harness.report("dag", rows, ratios, {**figures, "ledger_bytes_per_node": memory}, checks)


def in_turn(sides: dict[str, Callable[[], dict[str, Any]]], options: Any) -> dict[str, list[dict[str, Any]]]:
    """Those that were asked for, in turn."""
    return harness.in_turn(options.rounds, {name: side for name, side in sides.items() if wanted(name, options)})


def wanted(name: str, options: Any) -> bool:
    """Whether this side was asked for. Whoever asks for an outside engine gets our fan to compare it with."""
    words = options.only.split(",")
    return any(word in name for word in words) or (name == "fan" and not {"dask", "prefect"}.isdisjoint(words))


def sides_on_redis(made: Site, options: Any) -> dict[str, Callable[[], dict[str, Any]]]:
    """Everything that is compared with the peers on Redis."""
    warm(made)
    fan, layers = fan_of(options.fan), layers_of(10, options.layer)
    sides = {
        "hop": lambda: hop(lambda: made.run(chain_of(20))),
        "hop, celery chain": lambda: hop(lambda: made.chain(20)),
        "hop, canvas": lambda: hop(lambda: made.run(chain_of(20, engine=Engine.CANVAS))),
        "fan": lambda: rate(made.run(fan)),
        "fan, batch": lambda: rate(made.run(of_job(fan, TINY))),
        "fan, celery chord": lambda: rate(made.chord(options.fan)),
        "fan, history later": lambda: rate(made.run_before_history(fan)),
        "layers": lambda: rate(made.run(layers)),
        "layers, batch": lambda: rate(made.run(of_job(layers, TINY))),
        "bare": lambda: rate(made.bare(500)),
        "layers, history later": lambda: rate(made.run_before_history(layers)),
    }
    if options.graph:
        recorded = read(json.loads(options.graph.read_text()), job=JOB, scale=0.0)
        sides["recorded"] = lambda: rate(made.run(recorded))
        sides["recorded, batch"] = lambda: rate(made.run(of_job(recorded, TINY)))
        sides["recorded, history later"] = lambda: rate(made.run_before_history(recorded))
    return sides


def sides_on_rabbitmq(made: Site) -> dict[str, Callable[[], dict[str, Any]]]:
    """Both engines and Celery on another broker than the ledger's own server."""
    warm(made)
    sides: dict[str, Callable[[], dict[str, Any]]] = {}
    engines = (Engine.CANVAS, Engine.LEDGER)
    for engine in Engine:
        sides[f"rabbitmq hop, {engine}"] = lambda engine=engine: hop(lambda: made.run(chain_of(20, engine=engine)))
    sides["rabbitmq hop, celery chain"] = lambda: hop(lambda: made.chain(20))
    for engine in engines:
        sides[f"rabbitmq fan of 18, {engine}"] = lambda engine=engine: rate(made.run(fan_of(18, engine=engine)))
    sides["rabbitmq fan of 18, celery chord"] = lambda: rate(made.chord(18))
    for engine in engines:
        row = chain_of(6, engine=engine, seconds=1.0)
        sides[f"rabbitmq crowded hop, {engine}"] = lambda row=row: hop(lambda: made.run_in_a_crowd(row, 4000), times=1)
    for length, engine in ((length, engine) for length in LENGTHS for engine in engines):
        graph = chains_of(40 // length, length, engine=engine)
        sides[f"rabbitmq chains of {length}, {engine}"] = lambda graph=graph: rate(made.run(graph))
    return sides


def outside(options: Any) -> dict[str, list[dict[str, Any]]]:
    """Other engines than Celery, once each and by themselves: for orientation, since they share neither broker nor promises."""
    ways = [way for way in ("dask", "prefect") if wanted(f"fan, {way}", options)]
    python = harness.outside_python(*OUTSIDE) if ways else None
    if python is None:
        return {}
    found = {}
    for way in ways:
        # Prefect takes minutes for what the others do in seconds, so its fan is smaller.
        width, graph = (options.fan, options.graph) if way == "dask" else (min(options.fan, 200), None)
        with harness.folder() as place:
            env = {"PREFECT_HOME": str(place), "PREFECT_LOGGING_LEVEL": "ERROR", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
            # Its server takes longer to start than the 20 seconds for which it waits by itself. That time is not counted.
            env["PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS"] = "180"
            arguments = [way, width, place / "stamps", *([graph.resolve()] if graph else [])]
            side = lambda arguments=arguments, env=env: harness.side(  # noqa: E731 - a name for what is handed on
                "dag_outside.py", *arguments, ours=False, env=env, python=python
            )
            try:
                found |= harness.in_turn(1, {f"fan, {way}": side})
            except (RuntimeError, ValueError, IndexError) as error:
                harness.say(f"left out, because it does not run here: {way}: {str(error)[-300:]}")
    return found


def warm(made: Site) -> None:
    """Let every process open its connections before anything counts."""
    for engine in Engine:
        made.run(chain_of(5, engine=engine))
    made.chain(5)
    made.chord(5)


def hop(run: Callable[[], Stamps], times: int = 3) -> dict[str, Any]:
    """Between the end of a node and the begin of the next: milliseconds, over some rows of nodes."""
    waits: list[float] = []
    for _ in range(times):
        stamps = run()
        waits += hops(stamps, sorted(stamps, key=stamps.__getitem__))
    ranks = statistics.quantiles(waits, n=100)
    return {"p50_ms": ranks[49], "p99_ms": ranks[98], "mean_ms": statistics.fmean(waits)}


def rate(stamps: Stamps) -> dict[str, Any]:
    """Nodes a second."""
    return {"nodes_per_s": len(stamps) / makespan(stamps)}


def timed(made: Site, path: Path) -> dict[str, Any]:
    """A recorded graph with its own times at a thousandth, against the least that its longest way and its messages take."""
    warm(made)
    graph = read(json.loads(path.read_text()), job=JOB, scale=0.001)
    critical, bare = plan(graph).critical_seconds, made.bare(1000)
    took = makespan(made.run(graph))
    overhead = len(graph.nodes) * makespan(bare) / len(bare)
    return {"makespan_s": took, "critical_s": critical, "overhead_s": overhead, "of_bound": took / (1.15 * critical + overhead)}


def planning(path: Path | None) -> dict[str, Callable[[], dict[str, Any]]]:
    """Planning alone: a hundred thousand nodes against what networkx needs to build them, and a recorded graph."""
    names = [f"n{number}" for number in range(100_000)]
    above = [tuple({names[number // 2], names[number // 3]}) if number > 1 else () for number in range(len(names))]
    nodes = tuple(Node(name, JOB, after=parents) for name, parents in zip(names, above, strict=True))
    sides = {
        "plan 100,000 nodes": lambda: seconds(lambda: plan(Dag("wide", nodes))),
        "networkx builds them": lambda: seconds(lambda: networkx_of(names, above)),
    }
    if path is not None:
        data = json.loads(path.read_text())
        sides["plan recorded"] = lambda: seconds(lambda: plan(read(data)))
    return sides


def networkx_of(names: Sequence[str], above: Sequence[Sequence[str]]) -> nx.DiGraph:
    """The same graph, as networkx builds it from its edges."""
    graph = nx.DiGraph()
    graph.add_nodes_from(names)
    graph.add_edges_from((parent, name) for name, parents in zip(names, above, strict=True) for parent in parents)
    return graph


def seconds(work: Callable[[], object]) -> dict[str, Any]:
    """Processor time of one call."""
    began = time.process_time()
    work()
    return {"cpu_s": time.process_time() - began}


def ledger_bytes(made: Site) -> dict[str, float]:
    """Redis memory by node of the widest graph that ran: of the graph, which all runs share, and of one run."""
    client = made.deployment.client
    graphs = {key: client.hlen(key) for key in client.scan_iter("*}:graph:*")}
    graph = max(graphs, key=lambda key: graphs[key])
    version = graph.rpartition(":")[2]
    runs = [key for key in client.scan_iter("*}:dag:*") if client.hget(key, "v") == version]
    nodes, run = int(client.hget(runs[0], "n")), runs[0].partition("}:dag:")[2]
    size = lambda keys: sum(client.memory_usage(key, samples=0) for key in keys) / nodes  # noqa: E731 - a name for a sum
    return {"graph": size([graph]), "run": size(client.scan_iter(f"*}}:dag*:{run}"))}


def ratios_of(figures: Any) -> dict[str, float]:
    """What the targets are about. Below 1 is good for times, above 1 for rates."""

    def pair(name: str, figure: str, ours: str, theirs: str) -> None:
        if ours in figures and theirs in figures:
            ratios[name] = harness.paired(figures[ours], figures[theirs], figure)

    ratios: dict[str, float] = {}
    pair("hop time: celery chain", "p50_ms", "hop", "hop, celery chain")
    pair("hop time: canvas", "p50_ms", "hop", "hop, canvas")
    pair("fan rate: celery chord", "nodes_per_s", "fan", "fan, celery chord")
    pair("fan rate, history later: celery chord", "nodes_per_s", "fan, history later", "fan, celery chord")
    pair("fan rate, batch: celery chord", "nodes_per_s", "fan, batch", "fan, celery chord")
    for graph in ("layers", "layers, batch", "layers, history later", "recorded", "recorded, batch", "recorded, history later"):
        pair(f"{graph} time: x bare", "nodes_per_s", "bare", graph)
    pair("rabbitmq hop time: canvas by ledger", "p50_ms", "rabbitmq hop, canvas", "rabbitmq hop, ledger")
    pair("rabbitmq crowded hop time: canvas by ledger", "mean_ms", "rabbitmq crowded hop, canvas", "rabbitmq crowded hop, ledger")
    pair("rabbitmq hop time: celery chain", "p50_ms", "rabbitmq hop, auto", "rabbitmq hop, celery chain")
    pair("rabbitmq hop time, canvas: celery chain", "p50_ms", "rabbitmq hop, canvas", "rabbitmq hop, celery chain")
    for length in LENGTHS:
        name = f"rabbitmq chains of {length}"
        pair(f"{name} rate: canvas by ledger", "nodes_per_s", f"{name}, canvas", f"{name}, ledger")
    pair("rabbitmq fan rate: canvas by ledger", "nodes_per_s", "rabbitmq fan of 18, canvas", "rabbitmq fan of 18, ledger")
    pair("rabbitmq fan rate: celery chord", "nodes_per_s", "rabbitmq fan of 18, ledger", "rabbitmq fan of 18, celery chord")
    pair("plan time: networkx build", "cpu_s", "plan 100,000 nodes", "networkx builds them")
    for way in ("dask", "prefect"):
        if "fan" in figures and f"fan, {way}" in figures:
            ours, theirs = (harness.median(figures[name], "nodes_per_s") for name in ("fan", f"fan, {way}"))
            ratios[f"fan rate: {way}"] = ours / theirs
    if "timed" in figures:
        ratios["timed graph: of its bound"] = figures["timed"][0]["of_bound"]
    return ratios


def shown(answers: Sequence[dict[str, Any]]) -> str:
    """The middle of each figure."""
    return ", ".join(f"{name} {harness.median(answers, name):,.2f}" for name in answers[0])


def makespan(stamps: Stamps) -> float:
    """Seconds from the first begin to the last end."""
    return (max(end for _, end in stamps.values()) - min(begun for begun, _ in stamps.values())) / 1e9


def hops(stamps: Stamps, order: Sequence[str]) -> list[float]:
    """Milliseconds between the end of each node and the begin of the next one."""
    return [(stamps[after][0] - stamps[before][1]) / 1e6 for before, after in pairwise(order)]


def chain_of(length: int, seconds: float = 0.0, **options: Any) -> Dag:
    """So many nodes in a row, of which the first takes some time."""
    nodes = [Node(f"n{i}", JOB, after=(f"n{i - 1}",) if i else ()) for i in range(length)]
    nodes[0] = nodes[0]._replace(kwargs={"seconds": seconds})
    return Dag(f"chain{length}", tuple(nodes), **options)


def fan_of(width: int, **options: Any) -> Dag:
    """One node, so many behind it, one behind all of them."""
    parts = tuple(f"part{i}" for i in range(width))
    middle = (Node(name, JOB, after=("root",)) for name in parts)
    return Dag(f"fan{width}", (Node("root", JOB), *middle, Node("join", JOB, after=parts)), **options)


def of_job(dag: Dag, job: str) -> Dag:
    """The same graph of another job."""
    return replace(dag, name=f"{dag.name}-{job.rpartition('.')[2]}", nodes=tuple(node._replace(job=job) for node in dag.nodes))


def chains_of(count: int, length: int, **options: Any) -> Dag:
    """So many rows side by side."""
    nodes = (Node(f"r{row}.{i}", JOB, after=(f"r{row}.{i - 1}",) if i else ()) for row in range(count) for i in range(length))
    return Dag(f"rows{count}x{length}", tuple(nodes), **options)


def layers_of(layers: int, width: int) -> Dag:
    """Layers in which every node waits for the whole layer before it."""
    names = [tuple(f"n{layer}.{i}" for i in range(width)) for layer in range(layers)]
    above = [(), *names]
    return Dag("layers", tuple(Node(name, JOB, after=above[layer]) for layer in range(layers) for name in names[layer]))


@contextmanager
def site(broker: str = "redis", *more: str, children: int = 2) -> Iterator[Site]:
    """A deployment of its own, gone afterwards."""
    with harness.folder() as place:
        (place / "redis").mkdir()
        (place / "site").mkdir()
        redis = RedisServer(place / "redis")
        redis.start()
        rabbit = None
        if broker == "rabbitmq":
            (place / "rabbit").mkdir()
            rabbit = RabbitServer(place / "rabbit")
            rabbit.start()
        made = Site(place / "site", redis, rabbit.url if rabbit else None)
        try:
            made.start(*more, children=children)
            yield made
        finally:
            made.deployment.stop()
            # Celery's results say goodbye to their server as they go, which must be there then.
            gc.collect()
            if rabbit:
                rabbit.stop()
            redis.stop()


if __name__ == "__main__":
    main()

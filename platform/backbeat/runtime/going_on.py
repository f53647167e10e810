"""Whoever has ended a quick node of a DAG in a worker goes on with the next one, without a message (decision 043).

Most of what a tiny node costs is its message's way through the broker and the worker's parent. So the script that ends a node may
win the next ready one for the same process, thread or greenlet (lua/finish.lua). That traces it as Celery would, with a task and
a request of its own, before it answers for the message that it came with. BACKBEAT_GO_ON seconds after that began it takes
nothing more, since others wait for its slot; and it takes nothing that is known to last as long by itself.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from celery import current_app, signals
from celery.exceptions import NotRegistered
from celery.states import FAILURE, RETRY
from celery.worker import state as worker_state

from backbeat.conf import settings
from backbeat.core.message import MEMORY_HEADER, ORIGIN, group_of
from backbeat.errors import BackbeatError
from backbeat.runtime.board import Board
from backbeat.runtime.claims import put_off, who_claims
from backbeat.runtime.hands import closing
from backbeat.runtime.insist import OUTAGE
from backbeat.store.ledger import Claim, Offer
from backbeat.store.store import open_store

log = logging.getLogger("backbeat.worker")

_HEADERS: Mapping[str, Any] = {
    "lang": "py", "origin": ORIGIN, "retries": 0, "timelimit": (None, None), "ignore_result": True, "parent_id": None,
    "group": None, "reply_to": "", "argsrepr": "()", "kwargsrepr": "{}", "is_eager": False, "callbacks": None, "errbacks": None,
    "chain": None, "chord": None,
}  # fmt: skip
_EVENTS = {FAILURE: "task-failed", RETRY: "task-retried"}
Trace = Callable[..., Any]

board: Board | None = None
"""Where the processes of this worker write what they went on to, for their parent; None where it has none, or they may not."""


class Told(NamedTuple):
    """A node that a process went on to, for the parent, which tells Flower and its like. Times are epoch seconds."""

    run_id: str
    task: str
    begun: float
    ended: float
    seconds: float
    state: str | None
    """Celery's name of how it ended, None for success."""
    text: str


class Runtime(float):
    """The seconds of a message's own task, and the nodes that its process went on to afterwards."""

    told: tuple[Told, ...] = ()

    @classmethod
    def of(cls, seconds: float, told: tuple[Told, ...]) -> Runtime:
        """As Celery's pool hands it to the parent."""
        made = cls(seconds)
        made.told = told
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return Runtime.of, (float(self), self.told)


class _Line(threading.local):
    """What this process, thread or greenlet does for the message at hand."""

    def __init__(self) -> None:
        self.message = ""
        self.until = 0.0
        self.next: tuple[str, Claim] | None = None
        """The run that was won and is not begun."""
        self.begun: tuple[str, Claim] | None = None
        """The one that begins, for its attempt to take up the claim."""

    def step(self) -> tuple[str, Claim] | None:
        """Begin what was won, if anything was."""
        self.begun, self.next = self.next, None
        return self.begun


_line = _Line()
_traces: dict[str, Trace] = {}
_quick: frozenset[str] = frozenset()
"""Jobs whose newest attempt in this process was quick."""
_here: dict[str, str] = {}
"""Message → the run at hand that came without one, where the pool has no processes."""


def allow(*, processes: bool) -> None:
    """Let the pool processes that are about to be forked go on, if there are any."""
    global board
    board = Board() if processes else None
    _traces.clear()
    signals.worker_process_init.connect(_process_begins, dispatch_uid="backbeat-going-on")


def _process_begins(**_: Any) -> None:
    _traces.clear()
    if board is not None and board.begin(os.getpid()):
        trace_on(current_app)


def trace_on(app: Any) -> None:
    """Replace the tracers of jobs, which Celery has just made, by those that go on."""
    from backbeat.runtime.task import JobTask  # it imports this module

    for name, task in app.tasks.items():
        if isinstance(task, JobTask) and not (task.rate_limit or task.time_limit or task.soft_time_limit):
            _traces[name] = task.__trace__
            task.__trace__ = _tracing(task.__trace__)


def _tracing(trace: Trace) -> Trace:
    """Celery's tracer of a task, and then those of the nodes that the process goes on with."""

    def traced(uuid: str, args: Any, kwargs: Any, request: Any = None) -> Any:
        _line.message = uuid
        _line.until = time.monotonic() + settings().go_on if _free(request or {}) else 0.0
        told: list[Told] = []
        try:
            done = trace(uuid, args, kwargs, request)
            while (following := _line.step()) is not None:
                told += _go_on(*following, request)
        finally:
            _here.pop(uuid, None)
        if told:
            won(None)
            done = done._replace(runtime=Runtime.of(done.runtime, tuple(told)))
        return done

    return traced


def _free(request: Mapping[str, Any]) -> bool:
    """Whether the message is one run's, and its parent watches nothing of it that would end what comes after it."""
    watched = request.get(MEMORY_HEADER) or any(request.get("timelimit") or ())
    return not watched and not group_of(request.get("backbeat"))


def _go_on(run_id: str, claim: Claim, before: Mapping[str, Any]) -> list[Told]:
    slot = open_store().slots.of(run_id).slot
    if not (name := _task_of(run_id, slot, claim)):
        return []
    headers = {"task": name, "id": run_id, "root_id": run_id, "correlation_id": run_id, "backbeat": {"slot": slot}}
    place = {"hostname": before["hostname"], "delivery_info": before.get("delivery_info"), "args": [], "kwargs": {}}
    begun, request = time.time(), {**_HEADERS, **headers, **place}
    _, info, seconds, text = _traces[name](run_id, [], {}, request)
    state, text = (None, text) if info is None else (info.state, repr(info.retval))
    return [Told(run_id, name, begun, time.time(), seconds, state, text)]


def _task_of(run_id: str, slot: int, claim: Claim) -> str:
    """The name of the run's task; empty when this process can't do it, and somebody else shall."""
    store = open_store()
    try:
        template = store.index.template(slot, claim.fields["tid"])
        name = template.task if template is not None else claim.fields["j"]
        if name in _traces:
            return name
        put_off(store, run_id, claim, NotRegistered(name))
    except OUTAGE as error:
        log.warning("run %s: Redis does not answer, its lease will end: %s", run_id, error)
    except BackbeatError as error:
        # This worker can't read its policies; a newer one may.
        put_off(store, run_id, claim, error)
    return ""


def offer(job: str, took: float) -> Offer | None:
    """What this process offers when an attempt at a node has ended well after so many seconds; None for nothing."""
    global _quick
    if not _traces:
        return None
    if (quick := took <= settings().go_on) != (job in _quick):
        _quick = _quick | {job} if quick else _quick - {job}
    if not _quick or closing.is_set() or time.monotonic() >= _line.until:
        return None
    return Offer(who_claims(), settings().run_lease, "\n".join(_quick))


def won(following: tuple[str, Claim] | None) -> None:
    """Whoever works here has the next run, or none. The parent must know before anything can happen to this process."""
    _line.next = following
    run_id = following[0] if following else ""
    if board is not None and _traces:
        board.write(os.getpid(), run_id)
    elif run_id:
        _here[_line.message] = run_id


def at_hand(message: str, process: int | None) -> str:
    """The run with which whoever has this message went on, for the parent; empty for the message's own."""
    if board is None:
        return _here.get(message, "")
    return board.read(process) if process else ""


def holds(run_id: str) -> bool:
    """Whether this run begins here, won already."""
    return _line.begun is not None and _line.begun[0] == run_id


def claim_of(run_id: str) -> Claim | None:
    """The claim of a run that this process went on with; None for one that came by message."""
    if _line.begun is None or not holds(run_id):
        return None
    claim, _line.begun = _line.begun[1], None
    return claim


def tell(eventer: Any, told: tuple[Told, ...]) -> None:
    """In the parent: tell Flower and its like of nodes that a process went on to, as if each had come by message."""
    for one in told:
        worker_state.total_count.update({one.task: 1})
        if eventer is None or not eventer.enabled:
            continue
        same = {"uuid": one.run_id, "name": one.task, "args": "()", "kwargs": "{}", "retries": 0, "eta": None, "expires": None}
        eventer.send("task-received", **same, root_id=one.run_id, parent_id=None, timestamp=one.begun)
        eventer.send("task-started", uuid=one.run_id, timestamp=one.begun)
        if one.state is None:
            eventer.send("task-succeeded", uuid=one.run_id, result=one.text, runtime=one.seconds, timestamp=one.ended)
        elif kind := _EVENTS.get(one.state):
            eventer.send(kind, uuid=one.run_id, exception=one.text, traceback="", timestamp=one.ended)

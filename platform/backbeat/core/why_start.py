"""The gates from the fire to the end: parents, queue, consumer, worker, outcome."""

from __future__ import annotations

from backbeat.core.duration import words
from backbeat.core.state import RunState
from backbeat.core.when import iso
from backbeat.core.why_facts import Facts, Queue
from backbeat.core.why_gate import Gate, ago, first_line, opened, shut

_BAD = (RunState.FAILED, RunState.TIMED_OUT)
_SHOWN = 5


def parents(facts: Facts) -> Gate | None:
    """Whether the nodes before it let it go."""
    node = facts.node
    if node is None:
        return None
    if node.state in (RunState.UPSTREAM_FAILED, RunState.SKIPPED):
        sentence = f"its rule is {node.rule}, and {_some(node.bad) or 'a choice before it went another way'}."
        cure = f"Correct what failed, then rerun from there: `backbeat dag rerun {node.dag_run}`."
        return shut("parents", str(node.state), sentence, cure if node.state == RunState.UPSTREAM_FAILED else "")
    if node.held and node.state == RunState.PENDING:
        cure = f"Let it go on: `backbeat dag continue {node.dag_run}`."
        return shut("parents", "held", f"DAG run {node.dag_run} is held: nothing new of it starts.", cure)
    if node.waits_for:
        return shut("parents", "parents", f"it waits for {_some(node.waits_for)} (rule {node.rule}).")
    if not node.active and facts.run is None and facts.record is None:
        return shut("parents", "dag-over", f"DAG run {node.dag_run} is over, and this node never ran.")
    return opened("parents", "the nodes before it have ended as its rule asks.")


def _some(named: tuple[tuple[str, str], ...]) -> str:
    shown = ", ".join(f"{name} ({state})" for name, state in named[:_SHOWN])
    return shown + (f" and {len(named) - _SHOWN} more" if len(named) > _SHOWN else "")


def wanted(facts: Facts) -> Gate | None:
    """Whether somebody cancelled it."""
    run, record = facts.run, facts.record
    if run is not None and run.cancelled:
        return shut("wanted", "cancelling", f"somebody asked {run.worker or 'its worker'} to stop it: {run.cancelled}.")
    if run is None and record is not None and record.state is RunState.CANCELLED:
        why = f": {record.reason}" if record.reason else ""
        return shut("wanted", "cancelled", f"it was cancelled{_when(record.finished)}{why}.", _again(facts))
    return None


def sound(facts: Facts) -> Gate | None:
    """Whether it was locked away because it took worker after worker down."""
    run = facts.run
    if run is None or run.state is not RunState.QUARANTINED:
        return None
    record = facts.record
    how = f" ({first_line(record.error_message, 200)})" if record is not None and record.error_message else ""
    last = f"the last one {run.worker or 'unknown'}{how}"
    sentence = f"it is in quarantine: {run.losses} workers were lost while they ran it, {last}."
    cure = f"Find out why, then `backbeat run release {run.id}`, or `backbeat run cancel {run.id}`."
    return shut("sound", "quarantined", sentence, cure)


def dispatched(facts: Facts) -> Gate | None:
    """Whether its message was handed to the broker."""
    run, queue = facts.run, facts.queue
    if run is None or run.state is RunState.QUARANTINED or run.line or (run.state is RunState.PENDING and run.place):
        return None
    if run.state in (RunState.PENDING, RunState.RETRYING, RunState.LOST):
        return None if run.until is not None and run.until > facts.now else _no_keeper(facts)
    if run.state is RunState.QUEUED and queue is not None and queue.trouble:
        sentence = f"the broker does not answer ({queue.trouble}); {queue.outbox} messages wait in the outbox for it."
        return shut("dispatched", "broker-away", sentence, "Start the broker, or correct BROKER_URL; nothing is lost meanwhile.")
    return opened("dispatched", f"its message was sent to queue {run.queue}.")


def _no_keeper(facts: Facts) -> Gate:
    if facts.keepers == 0:
        sentence = "its time has come, but no keeper is alive to send its message."
        return shut("dispatched", "no-keeper", sentence, "Start one: `backbeat keeper`.")
    sentence = "its time has come; a keeper sends its message within a second."
    return shut("dispatched", "keeper-behind", sentence, "If it stays so, the keeper's log says why.")


def consumed(facts: Facts) -> Gate | None:
    """Whether anybody takes messages from the queue."""
    queue = facts.queue
    if queue is None or (facts.record is not None and facts.run is None):
        return None
    if queue.workers or queue.consumers:
        who = ", ".join(queue.workers[:_SHOWN]) if queue.workers else f"{queue.consumers} consumers"
        return opened("consumed", f"queue {queue.name} is consumed by {who}.")
    if facts.run is not None and facts.run.state is RunState.RUNNING:
        return None
    pool = queue.name.rpartition(".p")[0] or queue.name
    sentence = f"no live worker consumes queue {queue.name}."
    return shut("consumed", "no-consumer", sentence, f"Start one: `backbeat worker --pool {pool}`.")


def fetched(facts: Facts) -> Gate | None:
    """Whether a worker has its message."""
    run, queue = facts.run, facts.queue
    if run is None or queue is None or run.state is not RunState.QUEUED or not (queue.workers or queue.consumers):
        return None
    if queue.holder:
        return opened("fetched", f"{queue.holder} holds its message.")
    if queue.waiting:
        busy = f"; its workers do {queue.active} of {queue.slots} runs" if queue.slots else ""
        others = "its message" if queue.waiting == 1 else f"one of {queue.waiting} messages"
        cure = f"More workers would help: `backbeat worker --pool {queue.name.rpartition('.p')[0] or queue.name}`."
        return shut("fetched", "in-line", f"{others} waits in queue {queue.name}{busy}.", cure)
    if queue.waiting is None:
        return None
    again = f"; were it lost, it is sent again {ago(facts.now, run.until)}" if run.until else ""
    return shut("fetched", "in-transit", f"queue {queue.name} is empty, so a worker must just have taken its message{again}.")


def started(facts: Facts) -> Gate | None:
    """Whether it has begun, and whether its worker still answers for it."""
    run, queue, now = facts.run, facts.queue, facts.now
    if run is None:
        record = facts.record
        return opened("started", f"it started {iso(record.started)} on {record.worker}.") if record and record.started else None
    if run.state is RunState.QUEUED and queue is not None and queue.holder:
        sentence = f"{queue.holder} holds its message behind what it does now ({_load(queue)})."
        return shut("started", "worker-busy", sentence, "It starts when a slot is free; more workers take other messages.")
    if run.state is not RunState.RUNNING:
        return None
    if run.until is not None and run.until <= now:
        length = words((now - run.until) // 1000)
        cure = "A keeper gives it to another worker; `backbeat doctor` says whether one is alive."
        return shut("started", "lease-ended", f"{run.worker} has not renewed its lease, which ended {length} ago.", cure)
    return opened("started", f"attempt {run.attempt} runs on {run.worker}.")


def _load(queue: Queue) -> str:
    return f"{queue.active} of {queue.slots} slots in use"


def ended_well(facts: Facts) -> Gate | None:
    """For a run that is over: whether it succeeded."""
    run, record = facts.run, facts.record
    if run is not None or record is None or record.finished is None:
        return None
    if record.state is RunState.SUCCEEDED:
        return opened("ended well", f"it succeeded, {iso(record.finished)}.")
    if record.state not in _BAD:
        return None
    error = f": {record.error_type}: {first_line(record.error_message, 200)}" if record.error_type else ""
    what = "ran into its time limit" if record.state is RunState.TIMED_OUT else "failed"
    sentence = f"attempt {record.attempts} {what}{_when(record.finished)}{error}."
    return shut("ended well", record.state.value, sentence, _again(facts))


def _when(moment: int | None) -> str:
    return f", {iso(moment)}" if moment is not None else ""


def _again(facts: Facts) -> str:
    return f"Run it again: `backbeat run retry {facts.subject}`."

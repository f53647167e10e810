"""Running a run again, and letting one out of quarantine. Asked twice, retry and release do it once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backbeat.core.keys import RunId, retried_id
from backbeat.core.message import arguments_of
from backbeat.core.secrets import holds_mask
from backbeat.core.state import Ask, RunState, require
from backbeat.errors import NotAllowed, UnknownRun
from backbeat.runtime.records import Past, Records
from backbeat.runtime.redeliver import message_of
from backbeat.runtime.submit import prepare, submit
from backbeat.store.store import Store


@dataclass(frozen=True, slots=True)
class Repeated:
    """The run that stands for the repetition, and whether this call made it."""

    run_id: RunId
    created: bool


def retry(store: Store, records: Records, run_id: str, reason: str = "") -> Repeated:
    """Run a run that did not end well again, as a new run with the same arguments and the job's policies of today.

    The new run's id follows from the old one's, so that asking twice gives one run; to try once more after that one
    failed, retry that one. Raises UnknownRun, IllegalTransition, NotAllowed for a node of a DAG run.
    """
    past = _past(store, records, run_id)
    _refuse_node(run_id, past.dag_run)
    require(Ask.RETRY, past.state, run_id)
    _refuse_masked(run_id, past)
    fresh = retried_id(run_id, past.job)
    if records.run(fresh) is not None:
        return Repeated(fresh, created=False)
    why = f"retry of {run_id}" + (f": {reason}" if reason else "")
    _, created = prepare(store, past.job, fresh, arguments_of(past.args, past.kwargs), reason=why, keyed=True, send=True)
    return Repeated(fresh, created)


def again(
    store: Store,
    records: Records,
    run_id: str,
    *,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    key: str | None = None,
    reason: str = "",
) -> RunId:
    """One more run of the same job with the same arguments, or with others given here; a new one each time without `key`.

    Raises UnknownRun, UnknownJob, BadArguments, NotAllowed for a node of a DAG run.
    """
    past = _past(store, records, run_id)
    _refuse_node(run_id, past.dag_run)
    require(Ask.AGAIN, past.state, run_id)
    why = f"{run_id} again" + (f": {reason}" if reason else "")
    same = args is None and kwargs is None
    if same:
        _refuse_masked(run_id, past)
    return submit(past.job, args=past.args if same else args or (), kwargs=past.kwargs if same else kwargs, key=key, reason=why)


def release(store: Store, records: Records, run_id: str) -> str:
    """Let a quarantined run go on, its losses forgiven; returns its state, `queued` or `pending` behind another run.

    One that was released already is left as it is. Raises UnknownRun, IllegalTransition, NotAllowed for a node.
    """
    fields = store.ledger.get(run_id)
    if not fields:
        # Over or unknown: history knows which.
        require(Ask.RELEASE, _past(store, records, run_id).state, run_id)
        raise UnknownRun(f"run {run_id} was in quarantine and is not kept any more; `backbeat run again` makes a new one.")
    _refuse_node(run_id, fields.get("d", ""))
    message = message_of(store, run_id, fields)
    template = store.index.template(store.slots.of(run_id).slot, fields["tid"])
    if message is None or template is None:
        raise NotAllowed(f"the policies of run {run_id} are missing; save job {fields['j']} again, then release it.")
    done, state = store.ledger.readmit(run_id, message, template.overlap.value)
    if not done and state not in (RunState.QUEUED, RunState.PENDING, RunState.RUNNING, RunState.RETRYING):
        require(Ask.RELEASE, RunState(state), run_id)
    return state


def _past(store: Store, records: Records, run_id: str) -> Past:
    """A run with its arguments and the state that it is in now: the ledger's when it is unfinished, else history's."""
    fields = store.ledger.get(run_id)
    if fields:
        args, kwargs = _arguments(fields["x"])
        return Past(fields["j"], RunState(fields["s"]), args, kwargs, fields.get("d", ""))
    past = records.past(run_id)
    if past is None:
        raise UnknownRun(f"no run {run_id!r} is known; see `backbeat run ls`.")
    return past


def _arguments(text: str) -> tuple[list[Any], dict[str, Any]]:
    args, kwargs = json.loads(text)
    return args, kwargs


def _refuse_masked(run_id: str, past: Past) -> None:
    if holds_mask((past.args, past.kwargs)):
        cure = "Give them anew: `backbeat run again RUN --args … --kwargs …`."
        raise NotAllowed(f"run {run_id} had secrets among its arguments, which history does not keep. {cure}")


def _refuse_node(run_id: str, dag_run: str) -> None:
    if dag_run:
        cure = f"Rerun the DAG from there: `backbeat dag rerun {dag_run}`."
        raise NotAllowed(f"run {run_id} is a node of DAG run {dag_run}, whose other nodes depend on it. {cure}")

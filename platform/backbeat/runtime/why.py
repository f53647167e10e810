"""Why something does not run: gathers the facts from the ledger, the index, the broker and history for core/why.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery import current_app

from backbeat.core import why_facts as facts
from backbeat.core.job import JobSpec
from backbeat.core.keys import owner_of
from backbeat.core.state import UNFINISHED, RunState
from backbeat.core.why import Why
from backbeat.core.why import why as judged
from backbeat.errors import UnknownJob, UnknownRun, nearest
from backbeat.runtime import why_run
from backbeat.runtime.queue_look import look
from backbeat.runtime.records import Records
from backbeat.runtime.status import of_kind
from backbeat.runtime.why_occurrence import next_of, occurrence_of
from backbeat.store.store import Store
from backbeat.store.unfinished import newest
from backbeat.store.vitals import processes


class Asking:
    """One question: what was learnt of it so far. Whatever the database can't tell is noted and left out."""

    def __init__(self, store: Store, records: Records, app: Any = None) -> None:
        self.store = store
        self.records = records
        self.app = app or current_app
        self.now = store.slots.now_ms()
        self.alive = processes(store.slots)
        self.notes: list[str] = []

    def why(self, identity: str) -> Why:
        """Why a run (by id) or an occurrence (`schedule@time`) does not run. Raises UnknownRun for what nobody knows."""
        run, record = why_run.run_of(self.store, identity), self._run(identity)
        node = None if record is not None and run is None else why_run.node_of(self.store, identity)
        # A node's id begins with its DAG, which is no job; its own job is the run's affair.
        job, spec = self._job(owner_of(identity)) if node is None else (None, None)
        known = run is not None or record is not None or node is not None
        moment = None if node is not None else occurrence_of(self.store, spec, identity, self._omission)
        if not known and moment is None:
            record = why_run.ended(self.store, identity)
            if record is None:
                raise UnknownRun(self._unknown(identity))
        queue = self._queue(run, spec if not known else None, identity)
        return judged(self._facts(identity, job=job, run=run, record=record, node=node, occurrence=moment, queue=queue))

    def why_job(self, name: str) -> Why:
        """Why a job does not run now: what holds its unfinished run, else what stands before its next occurrence."""
        job, spec = self._job(name)
        if not job.defined:
            raise UnknownJob(f"no job is named {name!r}.{job.near}")
        unfinished = self._unfinished(name)
        if unfinished is not None:
            answer = self.why(unfinished)
            return Why(name, answer.state, answer.code, f"run {unfinished}: {answer.sentence}", *_rest(answer))
        moment = next_of(self.store, spec, self.now)
        return judged(self._facts(name, job=job, occurrence=moment, queue=self._queue(None, spec, ""), ahead=True))

    def _facts(self, subject: str, occurrence: facts.Occurrence | None, **found: Any) -> facts.Facts:
        slot = why_run.slot_of(self.store, occurrence.schedule, self.alive, self.now) if occurrence is not None else None
        keepers = sum(not one.silent(self.now) for one in of_kind(self.alive, "keeper"))
        notes = tuple(dict.fromkeys(self.notes))
        return facts.Facts(self.now, subject, occurrence=occurrence, slot=slot, keepers=keepers, notes=notes, **found)

    def _queue(self, run: facts.Run | None, spec: JobSpec | None, identity: str) -> facts.Queue | None:
        if run is not None:
            wanted = run.queue if run.state in UNFINISHED - {RunState.RUNNING} else ""
        else:
            template = self.store.index.template_of(spec.name) if spec is not None else None
            wanted = template.queue if template is not None else ""
        return look(self.store, self.app, wanted, identity, self.alive, self.now) if wanted else None

    def _job(self, name: str) -> tuple[facts.Job, JobSpec | None]:
        found: tuple[facts.Job, JobSpec] | None = self._recorded(lambda: self.records.job(name))
        if found is not None:
            return found
        # RedBeat's entries, and jobs while the database is away, are known to the index alone.
        indexed = self.store.slots.client.hexists(self.store.slots.of(name).entries, name)
        if indexed or self.store.index.template_of(name) is not None:
            return facts.Job(name), None
        near = self._recorded(lambda: nearest(name, self.records.names())) or ""
        return facts.Job(name, defined=False, near=near), None

    def _run(self, run_id: str) -> facts.Record | None:
        found: facts.Record | None = self._recorded(lambda: self.records.run(run_id))
        return found

    def _omission(self, schedule_id: str, nominal: int) -> facts.Omission | None:
        found: facts.Omission | None = self._recorded(lambda: self.records.omission(schedule_id, nominal))
        return found

    def _unfinished(self, job: str) -> str | None:
        holder = self.store.slots.client.hget(self.store.slots.of(job).busy, job)
        if holder is not None and why_run.run_of(self.store, str(holder)) is not None:
            return str(holder)
        return next((one.run_id for one in newest(self.store.slots, lambda _: True, job)), None)

    def _recorded(self, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except self.records.unavailable as error:
            self.notes.append(f"The database does not answer, so what history knows is left out: {error}")
            return None

    def _unknown(self, identity: str) -> str:
        hint = " Give a run's id, or an occurrence such as reports.daily@2026-11-23T02:00:00Z."
        return f"no run or occurrence {identity!r} is known.{hint}"


def _rest(answer: Why) -> tuple[Any, ...]:
    return answer.remedy, answer.gates, answer.blocked_by, answer.notes

"""Which gate answers the question, for every way in which something does not run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backbeat.core import why_facts as f
from backbeat.core.state import Reason, RunState
from backbeat.core.when import from_ms, to_ms
from backbeat.core.why import GATES, why

NOW = to_ms(from_ms(1_800_000_000_000))
MINUTE = 60_000
JOB = f.Job("reports.daily")
DUE = f.Occurrence("reports.daily", NOW - MINUTE, NOW - MINUTE, place=NOW - MINUTE)
LED = f.Slot(3, "beat-1", 2)
QUEUE = f.Queue("reports.p5", workers=("w1@host",), waiting=0, slots=2)
QUEUED = f.Run("reports.daily@x", RunState.QUEUED, "reports.p5", NOW - MINUTE, until=NOW + MINUTE)


def facts(**given: Any) -> f.Facts:
    return f.Facts(NOW, "reports.daily@x", **{"job": JOB, "keepers": 1, **given})


def run(state: RunState, **given: Any) -> f.Run:
    return replace(QUEUED, state=state, **given)


def left_out(reason: Reason, **given: Any) -> f.Occurrence:
    return replace(DUE, place=NOW + MINUTE, omission=f.Omission(reason, DUE.nominal, DUE.nominal, 1, **given))


def record(state: RunState, **given: Any) -> f.Record:
    return f.Record(state, **{"attempts": 1, "worker": "w1@host", "started": NOW - 9_000, "finished": NOW - 5_000, **given})


PLACE = f.Place("reports.daily", "acme", 2, (("reports.daily:a", "running"), ("reports.daily:b", "queued")), 2, ahead=1)
PAUSE = f.Pause("month end", "ada", NOW - 3_600_000)
NODE = f.Node("etl@x", "load", "pending", "all_success")

CASES: dict[str, tuple[f.Facts, str]] = {
    "an unknown job": (facts(job=f.Job("reports.daly", defined=False), occurrence=DUE), "no-such-job"),
    "a moment of no schedule": (facts(occurrence=replace(DUE, real=False, after=NOW)), "not-an-occurrence"),
    "a moment to come": (facts(occurrence=replace(DUE, effective=NOW + MINUTE), slot=LED), "not-due"),
    "a disabled job": (facts(job=replace(JOB, enabled=False), occurrence=DUE, slot=LED), "disabled"),
    "a job without code": (facts(job=replace(JOB, orphaned=True), occurrence=DUE, slot=LED), "orphaned"),
    "a paused job": (facts(job=replace(JOB, pause=PAUSE), occurrence=DUE, slot=LED), "paused"),
    "left out by a pause": (facts(occurrence=left_out(Reason.PAUSED, actor="ada", note="month end"), slot=LED), "paused"),
    "left out by a calendar": (facts(occurrence=left_out(Reason.BLACKOUT), slot=LED), "blackout"),
    "a day that its calendar closes": (
        facts(occurrence=replace(DUE, calendar="holidays", closed="left out"), slot=LED),
        "blackout",
    ),
    "left out as misfired": (facts(occurrence=left_out(Reason.MISFIRE), slot=LED), "misfire"),
    "left out as expired": (facts(occurrence=left_out(Reason.EXPIRED), slot=LED), "expired"),
    "no place": (facts(run=run(RunState.PENDING, place=PLACE)), "concurrency"),
    "too early for the rate": (
        facts(run=run(RunState.PENDING, pace=f.Pace("reports.daily", "", "1/h", NOW + MINUTE), until=NOW + MINUTE)),
        "rate",
    ),
    "the token is there, and no keeper is": (
        facts(run=run(RunState.PENDING, pace=f.Pace("reports.daily", "", "1/h", NOW), until=NOW), keepers=0),
        "no-keeper",
    ),
    "left out by the quota": (facts(occurrence=left_out(Reason.QUOTA), slot=LED), "quota"),
    "left out by overlap": (facts(occurrence=left_out(Reason.OVERLAP), slot=LED), "overlap"),
    "a parked entry": (facts(occurrence=replace(DUE, parked="no template", place=None), slot=LED), "parked"),
    "an entry that is not there": (facts(occurrence=replace(DUE, place=None), slot=LED), "not-indexed"),
    "no scheduler": (facts(occurrence=DUE, slot=f.Slot(3, None, 0)), "no-scheduler"),
    "no leader": (facts(occurrence=DUE, slot=f.Slot(3, None, 2)), "leaderless"),
    "a leader that does not fire": (facts(occurrence=DUE, slot=LED), "overdue"),
    "dealt with, not recorded": (facts(occurrence=replace(DUE, place=NOW + 1), slot=replace(LED, backlog=7)), "not-recorded"),
    "before the schedule began": (facts(occurrence=replace(DUE, place=NOW + 1), slot=LED), "before-definition"),
    "a delayed run": (facts(run=run(RunState.PENDING)), "delayed"),
    "a run that waits to be retried": (facts(run=run(RunState.RETRYING, attempt=2)), "retry-waits"),
    "a run in line": (facts(run=run(RunState.PENDING, until=None, line=f.Line("a@y", "running", 2))), "overlap"),
    "a node whose parents work": (facts(node=replace(NODE, waits_for=(("extract", "running"),))), "parents"),
    "a node behind a failure": (facts(node=replace(NODE, state="upstream_failed", bad=(("x", "failed"),))), "upstream_failed"),
    "a node of a held DAG run": (facts(node=replace(NODE, held=True)), "held"),
    "a node that a DAG run left": (facts(node=replace(NODE, active=False)), "dag-over"),
    "a run that is being stopped": (facts(run=run(RunState.RUNNING, cancelled="enough")), "cancelling"),
    "a cancelled run": (facts(record=record(RunState.CANCELLED, reason="enough")), "cancelled"),
    "a run in quarantine": (facts(run=run(RunState.QUARANTINED, losses=3, until=None)), "quarantined"),
    "a due retry without a keeper": (facts(run=run(RunState.RETRYING, until=NOW - 1), keepers=0), "no-keeper"),
    "a due retry with a slow keeper": (facts(run=run(RunState.RETRYING, until=NOW - 1)), "keeper-behind"),
    "a broker that is away": (facts(run=QUEUED, queue=replace(QUEUE, trouble="refused", outbox=4)), "broker-away"),
    "a queue that nobody consumes": (facts(run=QUEUED, queue=replace(QUEUE, workers=())), "no-consumer"),
    "a message in line": (facts(run=QUEUED, queue=replace(QUEUE, waiting=12, active=2)), "in-line"),
    "a message that nobody holds": (facts(run=QUEUED, queue=QUEUE), "in-transit"),
    "a message that a busy worker holds": (facts(run=QUEUED, queue=replace(QUEUE, holder="w1@host", active=2)), "worker-busy"),
    "a worker that fell silent": (facts(run=run(RunState.RUNNING, worker="w1@host", until=NOW - 5_000)), "lease-ended"),
    "a failed run": (facts(record=record(RunState.FAILED, error_type="OSError", error_message="disk full.\nmore")), "failed"),
    "a run that took too long": (facts(record=record(RunState.TIMED_OUT)), "timed_out"),
    "a run that expired in its queue": (facts(record=record(RunState.EXPIRED, started=None)), "expired"),
}


@pytest.mark.parametrize("case", CASES)
def test_each_obstacle_is_named_by_its_own_code(case: str) -> None:
    found, code = CASES[case]

    answer = why(found)

    assert answer.code == code
    assert answer.blocked_by is not None
    assert answer.sentence == answer.blocked_by.sentence
    assert answer.sentence.endswith((".", "template"))


def test_every_gate_is_shut_by_some_case() -> None:
    names = {gate.name.replace(" ", "_") for found, _ in CASES.values() for gate in why(found).gates if not gate.passed}

    assert names == {gate.__name__ for gate in GATES}, "Add a case that shuts the new gate."


MOMENT = st.integers(0, 4_000_000_000_000)
MAYBE = st.none() | MOMENT
NAME = st.sampled_from(["", "a", "reports.daily#x"])


def _any(kind: type, **parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | st.builds(kind, **parts)


@given(
    st.builds(
        f.Facts,
        now=MOMENT,
        subject=NAME,
        job=_any(f.Job, name=NAME, defined=st.booleans(), pause=_any(f.Pause, since=MOMENT, until=MAYBE), enabled=st.booleans()),
        occurrence=_any(
            f.Occurrence,
            schedule=NAME,
            nominal=MOMENT,
            effective=MOMENT,
            real=st.booleans(),
            place=MAYBE,
            before=MAYBE,
            after=MAYBE,
            omission=_any(f.Omission, first=MOMENT, last=MOMENT),
        ),
        slot=_any(f.Slot, leader=st.none() | NAME, backlog=st.integers(0, 2)),
        run=_any(f.Run, id=NAME, created=MOMENT, started=MAYBE, until=MAYBE, queue=NAME),
        record=_any(f.Record, started=MAYBE, finished=MAYBE),
        node=_any(f.Node, state=st.sampled_from([str(state) for state in RunState])),
        queue=_any(f.Queue, waiting=st.none() | st.integers(0, 3), workers=st.sampled_from([(), ("w",)])),
        keepers=st.none() | st.integers(0, 1),
        ahead=st.booleans(),
        notes=st.just(()),
    )
)
def test_there_is_an_answer_whatever_the_facts(given_facts: f.Facts) -> None:
    answer = why(given_facts)

    assert answer.sentence
    assert (answer.blocked_by is None) == all(gate.passed for gate in answer.gates)


def test_the_gates_of_an_answer_stand_in_one_order() -> None:
    order = [gate.__name__ for gate in GATES]

    for found, _ in CASES.values():
        names = [gate.name.replace(" ", "_") for gate in why(found).gates]
        assert names == sorted(names, key=order.index)


def test_a_running_run_is_held_back_by_nothing() -> None:
    answer = why(facts(occurrence=DUE, slot=LED, run=run(RunState.RUNNING, attempt=2, worker="w1@host", started=NOW - 4_000)))

    assert answer.blocked_by is None
    assert answer.code == "running"
    assert answer.sentence == f"it is running: attempt 2 on w1@host since {_words(NOW - 4_000)} (4s ago)."


def test_a_run_that_succeeded_says_when() -> None:
    answer = why(facts(record=record(RunState.SUCCEEDED)))

    assert (answer.code, answer.blocked_by) == ("succeeded", None)
    assert answer.sentence == f"it has run: succeeded, {_words(NOW - 5_000)}."


def test_a_run_that_is_over_but_not_recorded_says_so() -> None:
    assert why(facts(record=f.Record(RunState.FAILED))).sentence == "it is over (failed); history does not have it yet."


def test_looking_ahead_the_pause_is_the_answer_and_not_the_hour() -> None:
    coming = replace(DUE, effective=NOW + MINUTE)
    ahead = facts(job=replace(JOB, pause=PAUSE), occurrence=coming, slot=LED, ahead=True)

    answer = why(ahead)

    assert answer.code == "paused"
    assert "paused by ada" in answer.sentence
    assert answer.remedy == "Resume it: `backbeat job resume reports.daily`."
    assert why(replace(ahead, job=JOB)).code == "not-due"


def test_a_job_that_nobody_schedules_runs_when_asked() -> None:
    answer = why(facts(job=replace(JOB, scheduled=False), ahead=True))

    assert answer.code == "no-schedule"


def test_a_finished_run_of_a_paused_job_is_not_blamed_on_the_pause() -> None:
    answer = why(facts(job=replace(JOB, pause=PAUSE), occurrence=DUE, slot=LED, record=record(RunState.FAILED)))

    assert answer.code == "failed"
    assert answer.remedy == "Run it again: `backbeat run retry reports.daily@x`."


def _words(moment: int) -> str:
    return from_ms(moment).isoformat().replace("+00:00", "Z")


def test_one_without_a_place_is_told_who_has_them() -> None:
    answer = why(facts(run=run(RunState.PENDING, place=PLACE)))

    assert answer.sentence == (
        "job reports.daily may do 2 runs with key 'acme' at once; it waits for a place of "
        "reports.daily:a (running), reports.daily:b (queued) (1 wait before it)."
    )
    assert "backbeat run why reports.daily:a" in answer.remedy


def test_one_with_a_place_passes_that_gate() -> None:
    answer = why(facts(run=run(RunState.RUNNING, place=replace(PLACE, ahead=None), worker="w1")))

    assert answer.blocked_by is None
    assert "it has one of 2 places of job reports.daily with key 'acme'." in [gate.sentence for gate in answer.gates]

"""The gates up to the fire: is it due, may it fire, did a scheduler fire it, was there room."""

from __future__ import annotations

from backbeat.core.state import Reason, RunState
from backbeat.core.when import iso
from backbeat.core.why_facts import Facts, Occurrence, Omission
from backbeat.core.why_gate import Gate, ago, first_line, opened, shut


def defined(facts: Facts) -> Gate | None:
    """Whether there is such a job. A run that exists does not need one any more."""
    job = facts.job
    if job is None:
        return None
    if not job.defined and facts.run is None and facts.record is None:
        return shut("defined", Reason.NO_SUCH_JOB, f"no job is named {job.name!r}.{job.near}", "See `backbeat job ls`.")
    if _left_out(facts, Reason.NO_SUCH_JOB):
        return shut("defined", Reason.NO_SUCH_JOB, f"job {job.name} was not defined when it was due.")
    return opened("defined", f"job {job.name} is defined.") if job.defined else None


def scheduled(facts: Facts) -> Gate | None:
    """Whether a schedule asks for it at all."""
    job, moment = facts.job, facts.occurrence
    if _run_exists(facts) or job is None or not job.defined:
        return None
    if moment is None:
        if job.scheduled:
            return None
        cure = f"Run it with `backbeat job run {job.name}`, or give it a schedule."
        return shut("scheduled", "no-schedule", f"job {job.name} has no schedule that is due: it runs when somebody asks.", cure)
    if moment.real or moment.omission is not None:
        return opened("scheduled", f"schedule {moment.schedule} asks for it.")
    return shut("scheduled", "not-an-occurrence", *_unreal(moment))


def _unreal(moment: Occurrence) -> tuple[str, str]:
    around = [f"{word} it: {iso(found)}" for word, found in (("before", moment.before), ("after", moment.after)) if found]
    sentence = f"schedule {moment.schedule} is not due at {iso(moment.nominal)}; {', '.join(around) or 'it is never due'}."
    return sentence, f"Ask for one of its own moments: `backbeat job next {moment.schedule.partition('#')[0]}`."


def due(facts: Facts) -> Gate | None:
    """Whether its time has come: the occurrence's, the delay's, or the retry's."""
    run, moment, now = facts.run, facts.occurrence, facts.now
    if run is not None and run.until is not None and run.until > now:
        if run.state is RunState.RETRYING:
            return shut("due", "retry-waits", f"{_failure(facts)}; the next attempt is due {ago(now, run.until)}.")
        if run.state is RunState.PENDING and not (run.line or run.place or run.pace):
            return shut("due", "delayed", f"it was asked for with a delay: due {ago(now, run.until)}.")
    if moment is not None:
        if moment.effective > now and not _run_exists(facts):
            return shut("due", "not-due", f"it is due {ago(now, moment.effective)}.")
        return opened("due", f"it was due {ago(now, moment.effective)}.")
    return opened("due", f"it was asked for {ago(now, run.created)}.") if run is not None else None


def _failure(facts: Facts) -> str:
    attempt = facts.run.attempt if facts.run else 0
    record = facts.record
    if record is not None and record.error_type:
        return f"attempt {attempt} failed ({record.error_type}: {first_line(record.error_message, 120)})"
    return f"attempt {attempt} did not succeed" if attempt else "it has not begun"


def enabled(facts: Facts) -> Gate | None:
    """Whether the job is switched on and its code is there."""
    job = facts.job
    if job is None or not job.defined or _run_exists(facts):
        return None
    if job.orphaned:
        cure = "Bring the function back and run `backbeat sync`, or delete the job."
        return shut("enabled", "orphaned", f"the code of job {job.name} is gone.", cure)
    if not job.enabled:
        return shut("enabled", "disabled", f"job {job.name} is disabled.", "Enable it in the admin.")
    return opened("enabled", "it is enabled.")


def paused(facts: Facts) -> Gate | None:
    """Whether an operator holds it, or held it then."""
    job, left_out = facts.job, _left_out(facts, Reason.PAUSED)
    if left_out is not None:
        by = f" by {left_out.actor}" if left_out.actor else ""
        why = f": {left_out.note}" if left_out.note else ""
        return shut("paused", Reason.PAUSED, f"the job was paused when it was due; left out on resuming{by}{why}.", _rerun(facts))
    if job is None or not job.defined or _run_exists(facts):
        return None
    if job.pause is None:
        return opened("paused", "it is not paused.")
    until = f", until {iso(job.pause.until)}" if job.pause.until else ""
    sentence = f"paused by {job.pause.actor or 'somebody'} since {iso(job.pause.since)}{until}: {job.pause.reason}."
    return shut("paused", Reason.PAUSED, sentence, f"Resume it: `backbeat job resume {job.name}`.")


def calendar(facts: Facts) -> Gate | None:
    """Whether a calendar left it out, or will."""
    moment, left_out = facts.occurrence, _left_out(facts, Reason.BLACKOUT)
    if left_out is not None:
        note = f" ({left_out.note})" if left_out.note else ""
        return shut("calendar", Reason.BLACKOUT, f"the schedule's calendar left this moment out{note}.", _rerun(facts))
    if moment is None or not moment.calendar or _run_exists(facts):
        return None
    if not moment.closed:
        return opened("calendar", f"calendar {moment.calendar} is open then.")
    done = "moves it to the next open day" if moment.closed == "moved" else "leaves it out"
    return shut("calendar", Reason.BLACKOUT, f"calendar {moment.calendar} closes that day and {done}.", _rerun(facts))


def fired(facts: Facts) -> Gate | None:
    """Whether a scheduler has looked at it."""
    moment, slot = facts.occurrence, facts.slot
    if moment is None or slot is None or not moment.real:
        return None
    if _run_exists(facts) or moment.omission is not None:
        return opened("fired", "a scheduler has looked at it.")
    if moment.parked:
        cure = "Correct the job and save it: that puts the entry back."
        return shut("fired", "parked", f"its entry could not be evaluated: {moment.parked}", cure)
    if moment.place is None:
        if facts.job is not None and not _live(facts):
            return None
        cure = "A keeper puts it in within half a minute; `backbeat doctor` says whether one is alive."
        return shut("fired", "not-indexed", f"schedule {moment.schedule} is not in the scheduler's index.", cure)
    if moment.effective > facts.now:
        return _leader(facts) if slot.leader is None else opened("fired", f"slot {slot.number} has a leader, {slot.leader}.")
    if moment.place > moment.effective:
        return _gone(facts, slot.backlog)
    return _leader(facts)


def _leader(facts: Facts) -> Gate:
    slot = facts.slot
    assert slot is not None  # noqa: S101 - the caller has looked
    if slot.leader is not None:
        sentence = f"it is due, but {slot.leader}, which leads slot {slot.number}, has not fired it yet."
        return shut("fired", "overdue", sentence, "See `backbeat scheduler status`; an entry is normally fired within a second.")
    cure = "Start a scheduler: celery -A webadmin beat -S backbeat.Scheduler"
    if not slot.schedulers:
        return shut("fired", "no-scheduler", "no scheduler is alive, so nothing fires.", cure)
    return shut("fired", "leaderless", f"nobody leads slot {slot.number} at this moment.", "It is taken over within seconds.")


def _gone(facts: Facts, backlog: int) -> Gate:
    if backlog:
        sentence = f"a scheduler has dealt with it; what came of it is among {backlog} events that history does not have yet."
        return shut("fired", "not-recorded", sentence, "Ask again in a moment; `backbeat doctor` says whether a keeper is alive.")
    sentence = "the schedule has moved past it, and nothing is recorded: it was due before the schedule, as it is now, began."
    return shut("fired", "before-definition", sentence, _rerun(facts))


def in_time(facts: Facts) -> Gate | None:
    """Whether it could still be fired, and started, when somebody came to it."""
    record = facts.record
    late = _left_out(facts, Reason.MISFIRE)
    if late is not None:
        sentence = f"it was {_range(late)} when a scheduler came to it, and the misfire policy left it out."
        return shut("in time", Reason.MISFIRE, sentence, _rerun(facts))
    if _left_out(facts, Reason.EXPIRED) is not None or (record is not None and record.state is RunState.EXPIRED):
        return shut("in time", Reason.EXPIRED, "its start deadline had passed before it could start.", _rerun(facts))
    if _left_out(facts, Reason.QUOTA) is not None:
        return shut("in time", Reason.QUOTA, "the schedule's number of runs was used up.")
    return None


def _range(omission: Omission) -> str:
    if omission.count == 1:
        return "too late"
    return f"one of {omission.count} that were too late ({iso(omission.first)} to {iso(omission.last)})"


def overlap(facts: Facts) -> Gate | None:
    """Whether an earlier run of the job was in the way."""
    if _left_out(facts, Reason.OVERLAP) is not None:
        sentence = "an earlier run of the job was unfinished, and its overlap policy is skip."
        return shut("overlap", Reason.OVERLAP, sentence, "overlap=queue would make it wait instead.")
    line = facts.run.line if facts.run is not None else None
    if line is None:
        return opened("overlap", "no other run of the job is in its way.") if facts.run is not None else None
    before = f", behind {line.ahead} others" if line.ahead else ""
    sentence = f"it waits for run {line.holder} ({line.holder_state}) of the same job to end{before}."
    return shut("overlap", Reason.OVERLAP, sentence, f"Ask why that one does: `backbeat run why {line.holder}`.")


def _left_out(facts: Facts, reason: Reason) -> Omission | None:
    found = facts.occurrence.omission if facts.occurrence is not None else None
    return found if found is not None and found.reason is reason else None


def _live(facts: Facts) -> bool:
    job = facts.job
    return job is not None and job.enabled and not job.orphaned and job.pause is None


def _run_exists(facts: Facts) -> bool:
    return facts.run is not None or facts.record is not None


def _rerun(facts: Facts) -> str:
    job = facts.job.name if facts.job is not None else facts.subject.partition("@")[0].partition("#")[0]
    return f"To run it all the same: `backbeat job run {job}`."

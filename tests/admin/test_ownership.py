"""A deploy changes what the code owns, and leaves alone what an operator decided."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from backbeat.admin import definitions
from backbeat.admin.models import ImportProblem, Job
from backbeat.core.job import JobSpec, Schedule
from backbeat.core.retry import Retry
from backbeat.core.when import Cron
from backbeat.runtime.imports import ImportFailure
from backbeat.runtime.registry import Place, RegisteredJob
from backbeat.store.store import open_store

pytestmark = pytest.mark.usefixtures("redis")

NIGHTLY = Schedule(Cron("0 2 * * *"))
SPEC = JobSpec(name="etl.load", task="etl.load", schedules=(NIGHTLY,), retry=Retry(2), timeout=60.0, owner="team-x")


def registered(spec: JobSpec, module: str = "jobs.etl") -> RegisteredJob:
    return RegisteredJob(spec, lambda: None, Place("jobs/etl.py", 12), module)


def deploy(*specs: JobSpec, failures: tuple[ImportFailure, ...] = (), module: str = "jobs.etl") -> Any:
    return definitions.sync_from_code([registered(spec, module) for spec in specs], failures)


def spec_now() -> JobSpec:
    return definitions.to_spec(Job.objects.get())


def test_a_first_deploy_creates_the_job_and_knows_its_place(each_database: str) -> None:
    report = deploy(SPEC)

    job = Job.objects.get()
    assert report.created == ["etl.load"]
    assert (job.source, job.module, job.place, job.overridden) == ("code", "jobs.etl", "jobs/etl.py:12", [])
    assert spec_now() == SPEC
    assert open_store().index.next_times(["etl.load"])["etl.load"] is not None


def test_a_second_deploy_of_the_same_code_writes_nothing(each_database: str) -> None:
    deploy(SPEC)

    report = deploy(SPEC)

    assert (report.created, report.changed) == ([], [])
    assert Job.objects.get().version == 1


def test_an_override_survives_a_deploy_that_changes_other_fields(each_database: str) -> None:
    deploy(SPEC)
    definitions.save(replace(SPEC, schedules=(Schedule(Cron("0 5 * * *")),), timeout=90.0))

    deploy(replace(SPEC, timeout=120.0, owner="team-y", retry=Retry(4)))

    now = spec_now()
    assert Job.objects.get().overridden == ["timeout", "schedules"]
    assert (now.timeout, now.schedules[0].when) == (90.0, Cron("0 5 * * *"))
    assert (now.owner, now.retry.max) == ("team-y", 4)


def test_a_reset_gives_one_field_or_all_back_to_the_code(each_database: str) -> None:
    deploy(SPEC)
    definitions.save(replace(SPEC, timeout=90.0, priority=9, owner="me"))

    assert definitions.reset(Job.objects.get(), ["timeout"]) == ["timeout"]
    assert (spec_now().timeout, spec_now().priority, Job.objects.get().overridden) == (60.0, 9, ["priority", "owner"])

    definitions.reset(Job.objects.get())
    assert spec_now() == SPEC
    assert Job.objects.get().overridden == []


def test_an_override_ends_when_the_code_says_the_same(each_database: str) -> None:
    deploy(SPEC)
    definitions.save(replace(SPEC, timeout=90.0))

    deploy(replace(SPEC, timeout=90.0))
    deploy(replace(SPEC, timeout=30.0))

    assert spec_now().timeout == 30.0


def test_a_job_gone_from_code_is_orphaned_and_stops_but_is_not_deleted(each_database: str) -> None:
    deploy(SPEC)

    report = deploy()

    assert report.orphaned == ["etl.load"]
    assert Job.objects.get().orphaned
    assert open_store().index.next_times(["etl.load"])["etl.load"] is None
    assert deploy().orphaned == []


def test_an_orphan_is_itself_again_when_its_code_returns(each_database: str) -> None:
    deploy(SPEC)
    definitions.save(replace(SPEC, timeout=90.0))
    deploy()

    report = deploy(SPEC)

    assert report.returned == ["etl.load"]
    assert (Job.objects.get().orphaned, spec_now().timeout) == (False, 90.0)
    assert open_store().index.next_times(["etl.load"])["etl.load"] is not None


@pytest.mark.parametrize(("broken", "excused"), [("jobs.etl", True), ("jobs", True), ("jobs.et", False), ("jobs.etl.sub", False)])
def test_jobs_of_a_module_that_failed_to_import_are_not_orphaned(each_database: str, broken: str, excused: bool) -> None:
    deploy(SPEC)

    deploy(failures=(ImportFailure(broken, "jobs/etl.py", 3, "NameError: name 'x' is not defined"),))

    assert Job.objects.get().orphaned is not excused


def test_import_problems_are_shown_until_the_module_loads_again(each_database: str) -> None:
    deploy(failures=(ImportFailure("jobs.etl", "jobs/etl.py", 3, "NameError: x"),))
    deploy(failures=(ImportFailure("jobs.etl", "jobs/etl.py", 7, "NameError: y"),))

    found = ImportProblem.objects.get()
    assert (found.module, found.file, found.line, found.error) == ("jobs.etl", "jobs/etl.py", 7, "NameError: y")

    deploy()
    assert not ImportProblem.objects.exists()


def test_jobs_of_the_admin_are_not_touched_by_a_deploy(each_database: str) -> None:
    definitions.save(SPEC)

    deploy()

    assert not Job.objects.get().orphaned
    assert Job.objects.get().version == 1


def test_a_job_of_the_admin_that_appears_in_code_keeps_what_its_operator_chose(each_database: str) -> None:
    definitions.save(replace(SPEC, timeout=90.0))

    deploy(SPEC)

    job = Job.objects.get()
    assert (job.source, job.overridden, spec_now().timeout) == ("code", ["timeout"], 90.0)


def test_one_impossible_definition_does_not_stop_the_others(each_database: str) -> None:
    wrong = replace(SPEC, name="etl.wrong", pool="No Such Pool!")

    report = deploy(wrong, SPEC)

    assert report.created == ["etl.load"]
    [(name, sentence)] = report.refused
    assert name == "etl.wrong"
    assert "lower-case letters" in sentence


def test_disabling_a_job_of_the_code_is_an_override(each_database: str) -> None:
    deploy(SPEC)
    definitions.set_enabled(Job.objects.get(), enabled=False)

    deploy(replace(SPEC, timeout=61.0))

    assert (Job.objects.get().overridden, spec_now().enabled, spec_now().timeout) == (["enabled"], False, 61.0)

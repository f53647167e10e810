"""`@job` makes a job of a function, and leaves the function what it was."""

from __future__ import annotations

import copy
import inspect
import pickle
from datetime import date, timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from backbeat import Cron, Every, Retry, Schedule, current_run, job
from backbeat.core.job import JobSpec, Misfire, Overlap
from backbeat.errors import BadArguments, BadSchedule, DefinitionError, DuplicateJob, UnknownOption
from backbeat.runtime import registry
from backbeat.runtime.job import JobOptions
from tests.support.jobs import no_jobs

__all__ = ["no_jobs"]


@job("tests.travelling", labels={"tier": "1"})
def travelling(day: date) -> date:
    """Return the day.

    A second paragraph that no list shows.
    """
    return day


@pytest.mark.usefixtures("no_jobs")
class TestNames:
    def test_a_job_without_a_name_is_called_after_its_module_and_function(self):
        @job
        def nightly() -> None: ...

        assert nightly.name == f"{__name__}.nightly"
        assert registry.jobs[nightly.name].spec.task == nightly.name

    def test_the_folder_jobs_is_not_part_of_the_name(self):
        def run() -> None: ...

        run.__module__ = "jobs.commands"

        assert job()(run).name == "commands.run"

    @pytest.mark.parametrize("name", ["a b", "", ".hidden", "x" * 151, "a/b", "a@b", 7])
    def test_a_name_that_can_not_be_part_of_an_id_is_refused(self, name: Any):
        with pytest.raises(DefinitionError, match="name: expected"):

            @job(name)
            def work() -> None: ...

    def test_two_jobs_of_one_name_are_refused_with_both_places(self):
        @job("reports.daily")
        def first() -> None: ...

        with pytest.raises(DuplicateJob) as refusal:

            @job("reports.daily")
            def second() -> None: ...

        lines = [first.__wrapped__.__code__.co_firstlineno, first.__wrapped__.__code__.co_firstlineno + 5]
        assert all(f"{__file__}:{line}" in str(refusal.value) for line in lines)

    def test_defining_the_same_place_again_is_a_reload(self):
        def define(hours: int) -> Any:
            @job("reports.daily", schedule=Every(f"{hours}h"))
            def daily() -> int:
                return hours

            return daily

        define(1)

        assert define(2)() == 2
        assert registry.jobs["reports.daily"].spec.schedules[0].when == Every("2h")


@pytest.mark.usefixtures("no_jobs")
class TestOptions:
    def test_options_are_written_as_people_do(self):
        @job(
            "reports.daily", schedule=Cron("30 2 * * *", tz="Europe/Berlin"), pool="reports", priority="high",
            retry=Retry(3, cap="10m"), timeout="20m", soft_timeout=timedelta(minutes=19), start_deadline=3600, overlap="queue",
            misfire="all", misfire_limit=5, misfire_window="6h", enabled=False, owner="team-x", labels={"tier": "1"},
        )  # fmt: skip
        def daily(limit: int = 10) -> None:
            """Daily figures."""

        assert daily.spec == JobSpec(
            name="reports.daily", task="reports.daily", schedules=(Schedule(Cron("30 2 * * *", tz="Europe/Berlin")),),
            pool="reports", priority=8, retry=Retry(3, cap="10m"), timeout=1200.0, soft_timeout=1140.0, start_deadline=3600.0,
            overlap=Overlap.QUEUE, misfire=Misfire.ALL, misfire_limit=5, misfire_window=21600.0, enabled=False, owner="team-x",
            labels={"tier": "1"}, description="Daily figures.",
        )  # fmt: skip

    def test_every_option_of_a_job_can_be_given(self):
        fields = set(inspect.signature(JobSpec).parameters) - {"name", "task", "schedules"}

        assert set(JobOptions.__annotations__) == fields | {"schedule"}, (
            "Give the new field of JobSpec a row in core.options.OPTIONS and in runtime.job.JobOptions."
        )

    def test_several_schedules_without_keys_are_numbered(self):
        @job("reports.daily", schedule=[Cron("0 8 * * *"), Schedule(Every("1h"), key="hourly"), Cron("0 20 * * *")])
        def daily() -> None: ...

        assert [schedule.key for schedule in daily.spec.schedules] == ["1", "hourly", "2"]

    def test_an_unknown_option_is_refused_with_the_nearest(self):
        with pytest.raises(UnknownOption, match=r"prioritty: job 'reports.daily' has no such option. Did you mean 'priority'?"):

            @job("reports.daily", prioritty=3)  # type: ignore[call-overload] # what is tested
            def daily() -> None: ...

    @pytest.mark.parametrize(
        ("options", "sentence"),
        [
            ({"overlap": "skp"}, "overlap: expected one of skip, queue, replace, allow; got 'skp'. Did you mean 'skip'?"),
            ({"priority": 10}, "priority: expected 0 to 9 (9 is most urgent) or one of low, normal, high; got 10."),
            ({"pool": "Reports"}, "pool: expected lower-case letters, digits, '-' and '_', at most 50; got 'Reports'."),
            ({"timeout": "soon"}, "timeout: expected a duration such as '90s', '20m' or '1h30m'; got 'soon'."),
            ({"timeout": 0}, "timeout: expected more than zero; leave it out for no limit."),
            ({"timeout": "1m", "soft_timeout": "2m"}, "soft_timeout: expected less than timeout"),
            ({"retry": "3"}, "retry: expected a number of further attempts or Retry(…); got '3'."),
            ({"labels": ["tier"]}, "labels: expected texts by name, such as {'tier': '1'}; got ['tier']."),
            ({"enabled": 1}, "enabled: expected True or False; got 1."),
            ({"misfire_limit": 0}, "misfire_limit: expected a whole number from 1; got 0."),
            (
                {"schedule": "0 4 * * *"},
                "schedule: expected Cron(…), Every(…), Once(…) or a list of them; got '0 4 * * *'. Write Cron(",
            ),
        ],
    )
    def test_a_wrong_value_is_refused_with_what_was_expected(self, options: dict[str, Any], sentence: str):
        with pytest.raises(DefinitionError) as refusal:
            job("reports.daily", **options)(lambda_free)

        assert str(refusal.value).startswith(sentence)
        assert "reports.daily" not in registry.jobs

    @pytest.mark.parametrize("schedule", [Cron("61 * * * *"), Cron("0 0 30 2 *"), Cron("0 4 * * *", tz="Europe/Berlln")])
    def test_a_schedule_that_names_no_moment_is_refused(self, schedule: Cron):
        with pytest.raises(BadSchedule):
            job("reports.daily", schedule=schedule)(lambda_free)


def lambda_free() -> None: ...


@pytest.mark.usefixtures("no_jobs")
class TestScheduledArguments:
    def test_the_arguments_of_a_schedule_are_kept_as_json(self):
        @job("reports.daily", schedule=Schedule(Every("1h"), kwargs={"day": date(2026, 11, 23)}))
        def daily(day: date) -> None: ...

        assert daily.spec.schedules[0].kwargs == {"day": "2026-11-23"}

    def test_a_schedule_whose_runs_would_all_fail_is_refused(self):
        with pytest.raises(
            BadArguments, match=r"day: missing, and it has no default. So the schedule of job 'reports.daily' could never"
        ):

            @job("reports.daily", schedule=Every("1h"))
            def daily(day: date) -> None: ...


@pytest.mark.usefixtures("no_jobs")
class TestWhatCanBeAJob:
    def test_only_a_plain_function_can(self):
        async def later() -> None: ...

        def several() -> Any:
            yield 1

        for function, why in [
            (later, "got async later"),
            (several, "generator several"),
            (lambda: 1, "made with def"),
            (len, "made with def"),
        ]:
            with pytest.raises(DefinitionError, match=why):
                job("reports.daily")(function)

    def test_a_job_can_not_be_made_a_job_again(self):
        with pytest.raises(DefinitionError, match=r"'tests.travelling' is a job already"):
            job("again")(travelling)


class TestPlainCall:
    def test_runs_the_function_here_with_checked_arguments(self):
        assert travelling("2026-11-23") == date(2026, 11, 23)  # type: ignore[arg-type] # text is welcome at run time
        with pytest.raises(BadArguments, match=r"day: input should be a valid date"):
            travelling("tomorrow")  # type: ignore[arg-type] # what is tested

    def test_is_a_run_of_its_own(self, no_jobs: dict[str, Any]):
        @job("outer")
        def outer() -> tuple[str, int, object, str]:
            run = current_run()
            return run.id, run.attempt, run.nominal, inner()

        @job("inner")
        def inner() -> str:
            return current_run().job

        run_id, attempt, nominal, within = outer()

        assert run_id.startswith("inline:")
        assert (attempt, nominal) == (1, None)
        assert within == "outer", "a job called by a job is part of the same run"
        assert outer()[0] != run_id

    def test_with_a_model_takes_the_model(self, no_jobs: dict[str, Any]):
        class Day(BaseModel):
            day: date

        @job("billing.close", params=Day)
        def close(p: Day) -> date:
            return p.day

        assert close(Day(day=date(2026, 1, 1))) == close(day="2026-01-01") == date(2026, 1, 1)


class TestTheHandle:
    def test_looks_like_its_function(self):
        assert travelling.__name__ == "travelling"
        assert travelling.__doc__ is not None
        assert travelling.__doc__.startswith("Return the day.")
        assert inspect.signature(travelling) == inspect.signature(travelling.__wrapped__)
        assert travelling.spec.description == "Return the day."

    def test_can_be_copied_and_pickled(self):
        assert copy.deepcopy([travelling])[0] is travelling
        assert pickle.loads(pickle.dumps(travelling)).spec == travelling.spec

    def test_asking_for_a_private_name_starts_no_celery_app(self):
        assert not hasattr(travelling, "_pytestfixturefunction")
        assert not hasattr(travelling, "__len__")

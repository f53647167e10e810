"""The policies that jobs share: the same ones are the same object, and what differs in text is another one."""

from __future__ import annotations

from backbeat.core.job import JobSpec
from backbeat.core.template import Template, read


def test_jobs_with_the_same_policies_share_one_template() -> None:
    assert Template.of(JobSpec("a", "jobs.work", timeout=5.0)) is Template.of(JobSpec("b", "jobs.work", timeout=5.0))


def test_what_differs_in_any_way_has_an_id_of_its_own_whichever_came_first() -> None:
    whole, real = (Template.of(JobSpec("a", "jobs.work", timeout=timeout)) for timeout in (5, 5.0))

    assert whole.id == Template("jobs.work", timeout=5).id != real.id == Template("jobs.work", timeout=5.0).id
    assert read(real.text) == real

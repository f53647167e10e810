"""SIGKILL of a scheduler before and after every script that keeps RedBeat's storage and our index in step."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chaos.old_and_new import OURS, Project
from tests.support.eventually import eventually
from tests.support.old_beat import counted, seconds_of

SCRIPTS = ("adopt", "redbeat_hold", "redbeat_changed", "redbeat_ran", "redbeat_placed", "reported")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, redis_server: object) -> Iterator[Project]:
    with redis_server.client() as client:  # type: ignore[attr-defined] # a RedisServer
        client.flushall()
    made = Project(tmp_path_factory.mktemp("crashes"), redis_server.url)  # type: ignore[attr-defined]
    made.old_worker("worker")
    made.old.save("tick", 1, kwargs={"word": "tick"})
    yield made
    made.stop()


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_crash_at_any_point_loses_no_fire_doubles_none_and_leaves_redbeats_record_true(
    project: Project, script: str, when: str
) -> None:
    fires = len(fired(project))
    doomed = project.crashing(lambda name: project.scheduler(OURS, name), "doomed", f"{script}:{when}:2")
    eventually(lambda: len(fired(project)) >= fires + 2 or not doomed.alive, within=40, message=project.story)
    for number in range(3):
        project.old.save(f"other {number}", 3600, kwargs={"word": f"{script} {when}"})
    eventually(lambda: not doomed.alive, within=40, message=lambda: f"never reached {script}: {project.story()}")

    after = project.scheduler(OURS, "after")
    fires = len(fired(project))
    eventually(lambda: len(fired(project)) >= fires + 3, within=60, message=project.story)
    after.stop()

    moments = fired(project)
    # While nobody scheduled, the latest missed second is made up for, and the rest is on record as left out.
    assert len(moments) == len(set(moments))
    assert set(counted(project.effects_file, "tick").values()) == {1}
    shown = project.old.entry("tick")
    assert round(shown.last_run_at.timestamp()) == max(moments)
    assert shown.total_run_count == len(moments)


def fired(project: Project) -> list[int]:
    return seconds_of(counted(project.effects_file, "tick"))

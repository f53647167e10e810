"""SIGKILL at every point of a transactional job, on PostgreSQL and on SQLite: the table of effects balances afterwards."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from backbeat.core.job import JobSpec
from backbeat.core.retry import Retry
from tests.support.deployment import Deployment
from tests.support.eventually import eventually
from tests.support.servers import RedisServer

POINTS = [
    "before-enter", "after-enter", "before-begin", "before-effect", "after-effect", "before-note", "after-note",
    "before-commit", "after-commit", "before-finish", "after-finish",
]  # fmt: skip
ONCE_DONE = ("after-commit", "before-finish", "after-finish")
"""From here on the work is done, and nobody does it again."""


PAGE = Path(__file__).parents[2] / "docs" / "howto" / "exactly-once.md"
TABLE = "CREATE TABLE effects (run_id varchar(200) NOT NULL, attempt integer NOT NULL)"


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def exact(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer
) -> Iterator[Deployment]:
    with redis_server.client() as client:
        client.flushall()
    folder = tmp_path_factory.mktemp("exact")
    env = {"BACKBEAT_RUN_LEASE": "5s", "BACKBEAT_REQUEUE_AFTER": "6s"}
    if request.param == "postgresql":
        env["DATABASE_URL"] = _own_database(request.getfixturevalue("postgresql_url"))
    made = Deployment(folder, redis_server.url, **env)
    (folder / "exact_jobs.py").write_text((Path(__file__).parents[1] / "support" / "exact_jobs.py").read_text())
    (folder / "page_jobs.py").write_text(
        "\n".join(re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE))
    )
    (folder / "celeryconfig.py").write_text('imports = ["exact_jobs", "page_jobs"]\n')
    made.rows(TABLE)
    made.rows("CREATE TABLE bookings (account varchar(20) NOT NULL, amount numeric(9, 2) NOT NULL)")
    specs = [JobSpec(name, name) for name in ("exact.pay", "exact.call", "billing.remind", "billing.book", "billing.charge")]
    made.define(*specs, JobSpec("exact.fail", "exact.fail", retry=Retry(1, delay="100ms")))
    made.keeper()
    made.worker(children=6)
    yield made
    made.stop()


def _own_database(url: str) -> str:
    name = f"exact_{uuid4().hex[:8]}"
    with psycopg.connect(url, autocommit=True) as session:
        session.execute(f"CREATE DATABASE {name}".encode())
    return f"{url.rpartition('/')[0]}/{name}"


def effects(exact: Deployment, job: str) -> Counter[str]:
    rows = exact.rows(f"SELECT run_id FROM effects WHERE run_id LIKE '{job}:%'")
    return Counter(run_id.rpartition(":")[2] for (run_id,) in rows)


def ended(exact: Deployment, run_ids: list[str]) -> None:
    eventually(
        lambda: {exact.state(run_id) for run_id in run_ids} == {"succeeded"},
        within=60,
        message=lambda: f"{ {one: (exact.state(one), exact.attempts(one)) for one in run_ids} }\n{exact.story()}",
    )


def test_a_kill_at_any_point_leaves_one_effect(exact: Deployment) -> None:
    run_ids = [exact.submit("exact.pay", point) for point in [*POINTS, "nowhere"]]

    ended(exact, run_ids)

    assert effects(exact, "exact.pay") == dict.fromkeys([*POINTS, "nowhere"], 1)
    tries = {run_id.rpartition(":")[2]: len(exact.attempts(run_id)) for run_id in run_ids}
    # Each was really killed; the last one had told the ledger before.
    assert all(tries[point] >= 2 for point in POINTS[:-1])
    assert (tries["after-finish"], tries["nowhere"]) == (1, 1)
    done = exact.rows("SELECT run_id, fence FROM backbeat_claim WHERE run_id LIKE 'exact.pay:%' AND done_at IS NOT NULL")
    fences = {run_id.rpartition(":")[2]: fence for run_id, fence in done}
    assert {point for point, fence in fences.items() if fence == 1} == {*ONCE_DONE, "nowhere"}


def test_a_failed_attempt_takes_its_work_back(exact: Deployment) -> None:
    run_id = exact.submit("exact.fail", "nowhere")

    ended(exact, [run_id])

    assert exact.rows("SELECT attempt FROM effects WHERE run_id LIKE 'exact.fail:%'") == [(2,)]


def test_work_outside_the_database_is_done_again_only_before_the_note(exact: Deployment) -> None:
    points = ["before-enter", "after-enter", "after-effect", "after-note", "before-finish", "after-finish"]
    run_ids = [exact.submit("exact.call", point) for point in points]

    ended(exact, run_ids)

    # What happened between the effect and the note nobody can know: that is what a job without a transaction risks.
    assert effects(exact, "exact.call") == dict.fromkeys(points, 1) | {"after-effect": 2}


@pytest.mark.parametrize("job", ["exact.pay", "exact.call"])
def test_a_run_that_is_done_is_not_done_again_when_redis_has_lost_everything(exact: Deployment, job: str) -> None:
    run_id = exact.submit(job, "remembered")
    ended(exact, [run_id])

    exact.client.flushall()
    eventually(lambda: exact.store.index.template_of(job), within=20, message="the index is built anew")
    assert exact.submit(job, "remembered") == run_id
    eventually(lambda: not exact.store.ledger.get(run_id), within=20, message=exact.story)

    assert effects(exact, job)["remembered"] == 1


def test_an_attempt_that_redis_forgot_is_taken_over_by_a_higher_fence(exact: Deployment) -> None:
    columns = "run_id, fence, worker, result, output"
    exact.rows(f"INSERT INTO backbeat_claim ({columns}) VALUES ('exact.pay:forgotten', 7, 'dead@test', '', '')")

    run_id = exact.submit("exact.pay", "forgotten")
    ended(exact, [run_id])

    assert effects(exact, "exact.pay")["forgotten"] == 1
    assert [number for number, _, _ in exact.attempts(run_id)] == [1, 8]


def test_the_jobs_of_the_page_do_what_it_says(exact: Deployment) -> None:
    run_ids = [exact.submit("billing.book", "b-1", account="a", amount="9.50") for _ in range(2)]
    run_ids += [
        exact.submit("billing.charge", "c-1", account="a", amount="9.50"),
        exact.submit("billing.remind", "invoice-42", invoice=42),
    ]

    ended(exact, run_ids)

    assert [(account, float(amount)) for account, amount in exact.rows("SELECT account, amount FROM bookings")] == [("a", 9.5)]
    results = dict(exact.rows("SELECT run_id, result FROM backbeat_run WHERE run_id LIKE 'billing.%'"))
    assert results["billing.charge:c-1"] == '"charged 9.50 to a under billing.charge:c-1"'
    assert results["billing.remind:invoice-42"] == '"reminded of 42 as billing.remind:invoice-42"'

"""History by the month: made ahead, filed for good, taken away whole."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner
from django.db import connection, transaction

from backbeat.admin import months
from backbeat.admin.history import DatabaseHistory
from backbeat.admin.models import Attempt, DagRun, Omission, Run
from backbeat.cli import main
from backbeat.core.when import to_ms
from backbeat.runtime.ports import Event
from tests.admin.conftest import default_database
from tests.admin.test_history import T0, finished, started

postgresql = pytest.mark.parametrize("each_database", ["postgresql"], indirect=True)
NOW = datetime.now(UTC)


def day(text: str) -> datetime:
    return datetime.fromisoformat(f"{text}T12:00:00+00:00")


def run(run_id: str, queued: datetime, **data: Any) -> Event:
    at = to_ms(queued)
    data = {"job": "j", "queued_at": at, "started_at": at, "finished_at": at, "state": "succeeded", "attempt": 1, **data}
    return Event("1/1-0", "finished", run_id, at, data)


def left_out(first: datetime, last: datetime | None = None) -> Event:
    data = {"job": "j", "schedule": "j", "reason": "paused", "from": to_ms(first), "to": to_ms(last or first), "count": 1}
    return Event("1/1-0", "omitted", "", to_ms(first), data)


def lies_in(table: str) -> dict[str, int]:
    """Partition -> rows in it."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT tableoid::regclass::text, count(*) FROM backbeat_{table} GROUP BY 1")
        return {name.removeprefix(f"backbeat_{table}_"): count for name, count in cursor.fetchall()}


def partitions(table: str) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT relid::regclass::text FROM pg_partition_tree(%s::regclass) WHERE isleaf", [table])
        return [name for (name,) in cursor.fetchall()]


@pytest.fixture(autouse=True)
def only_this_month(request: pytest.FixtureRequest) -> Any:
    """Partitions that a test made are gone afterwards."""
    if "each_database" in request.fixturenames:
        request.getfixturevalue("each_database")  # so that this ends before the database does
    yield
    if connection.vendor == "postgresql":
        for name in [one for table in ("run", "attempt", "omission") for one in partitions(f"backbeat_{table}")]:
            if not name.endswith(("_rest", f"_{NOW:%Y_%m}")):
                with connection.cursor() as cursor:
                    cursor.execute(f"DROP TABLE {name}")


@postgresql
def test_room_is_made_for_the_months_to_come_once(each_database: str) -> None:
    made = months.make_room(day("2031-11-20"))

    coming = ("2031_11", "2031_12", "2032_01")
    pairs = [f"backbeat_{table}_{month}" for month in coming for table in ("run", "attempt")]
    assert made == [*pairs, *(f"backbeat_omission_{month}" for month in coming)]
    assert months.make_room(day("2031-11-20")) == []


@postgresql
def test_keepers_that_make_room_at_once_do_not_fail(each_database: str, migrated_postgresql: str) -> None:
    def make(_: int) -> list[str]:
        with default_database(migrated_postgresql):
            return months.make_room(day("2032-03-01"))

    with ThreadPoolExecutor(4) as pool:
        made = [name for names in pool.map(make, range(4)) for name in names]

    assert len(made) == len(set(made)) == 9


@postgresql
def test_rows_that_came_before_their_month_was_made_move_into_it(each_database: str) -> None:
    DatabaseHistory().record([run("j@2033-05-07T12:00:00Z", day("2033-05-07")), left_out(day("2033-05-08"))])
    assert (lies_in("run"), lies_in("attempt"), lies_in("omission")) == ({"rest": 1}, {"rest": 1}, {"rest": 1})

    months.make_room(day("2033-04-01"))

    assert (lies_in("run"), lies_in("attempt"), lies_in("omission")) == ({"2033_05": 1}, {"2033_05": 1}, {"2033_05": 1})
    DatabaseHistory().record([run("j@2033-05-07T12:00:00Z", day("2033-05-07")), left_out(day("2033-05-08"))])
    assert (Run.objects.count(), Attempt.objects.count(), Omission.objects.count()) == (1, 1, 1)


@pytest.mark.parametrize(
    ("run_id", "data"),
    [
        ("j@2026-08-31T23:59:00Z", {"queued_at": T0, "born": T0}),
        ("j@2026-08-31T23:59:00Z", {}),
        ("d@2026-08-31T23:59:00Z/node[3]", {"queued_at": T0, "born": T0}),
        ("j:@2026-08-31T23:59:00Z~2", {"queued_at": T0}),
        ("d:by-hand/node", {"queued_at": T0, "born": to_ms(day("2026-08-31"))}),
        ("j:0b1c", {"queued_at": to_ms(day("2026-08-31"))}),
    ],
)
def test_every_event_of_a_run_is_filed_under_one_month(each_database: str, run_id: str, data: dict[str, Any]) -> None:
    for kind, at in (("started", 0), ("retrying", 40), ("started", 50), ("finished", 100)):
        moment = T0 + at * 86_400_000
        told = {"job": "j", "attempt": 1 + at // 50, "state": "succeeded", "started_at": moment, **data}
        DatabaseHistory().record([Event("1/1-0", kind, run_id, moment, told)])

    assert list(Run.objects.values_list("month", flat=True)) == [day("2026-08-01").date()]
    assert set(Attempt.objects.values_list("month", flat=True)) == {day("2026-08-01").date()}


def test_what_is_older_than_asked_goes_and_the_rest_stays(each_database: str) -> None:
    months.make_room(day("2031-01-15"))
    old, new = day("2031-01-20"), day("2031-03-03")
    runs = [run(f"j@{at:%Y-%m-%d}T12:00:00Z", at) for at in (old, new)]
    aged = [run("j:2019", day("2019-01-01")), left_out(day("2019-01-01"))]
    graph = [Event("1/1-0", "dag_started", f"d:{at:%Y}", to_ms(at), {"dag": "d"}) for at in (day("2019-01-01"), new)]
    DatabaseHistory().record([*runs, *aged, *graph, left_out(old), left_out(new), left_out(day("2031-02-01"), new)])

    pruned = months.prune(day("2031-03-01"))

    assert list(Run.objects.values_list("pk", flat=True)) == ["j@2031-03-03T12:00:00Z"]
    assert list(Attempt.objects.values_list("run_id", flat=True)) == ["j@2031-03-03T12:00:00Z"]
    assert set(Omission.objects.values_list("last", flat=True)) == {new}
    assert list(DagRun.objects.values_list("pk", flat=True)) == ["d:2031"]
    if each_database == "postgresql":
        assert {"backbeat_run_2031_01", "backbeat_attempt_2031_01", "backbeat_omission_2031_01"} <= set(pruned.months)
        # A pause that began in February goes on, so February's omissions stay; nobody is left in its runs.
        assert "backbeat_run_2031_02" in pruned.months
        assert "backbeat_omission_2031_02" not in pruned.months
    assert months.prune(day("2031-03-01")) == months.Pruned()


@postgresql
def test_a_month_with_a_late_backfill_stays(each_database: str) -> None:
    months.make_room(day("2031-01-15"))
    DatabaseHistory().record([run("j@2031-01-20T12:00:00Z", day("2031-04-01"))])

    assert "backbeat_run_2031_01" not in months.prune(day("2031-03-20")).months
    assert Run.objects.count() == 1


@postgresql
def test_a_detached_month_can_be_kept(each_database: str) -> None:
    months.make_room(day("2031-01-15"))
    DatabaseHistory().record([run("j@2031-01-20T12:00:00Z", day("2031-01-20"))])

    months.prune(day("2031-03-20"), keep=True)

    assert Run.objects.count() == 0
    with connection.cursor() as cursor:
        cursor.execute("SELECT run_id FROM backbeat_run_2031_01_detached")
        assert cursor.fetchall() == [("j@2031-01-20T12:00:00Z",)]
        for table in ("run", "attempt", "omission"):
            cursor.execute(f"DROP TABLE backbeat_{table}_2031_01_detached")
            cursor.execute(f"DROP TABLE IF EXISTS backbeat_{table}_2031_02_detached")


@postgresql
def test_a_reader_holds_up_a_change_of_months_and_no_error_comes_of_it(
    each_database: str, migrated_postgresql: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(months, "LOCK_TIMEOUT", "100ms")
    months.make_room(day("2031-01-15"))

    def read_and_prune() -> tuple[str, ...]:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(pruned_elsewhere, migrated_postgresql).result().months

    with transaction.atomic():
        list(Run.objects.all())
        assert "backbeat_run_2031_01" not in read_and_prune()
    assert "backbeat_run_2031_01" in read_and_prune()


def pruned_elsewhere(url: str) -> months.Pruned:
    with default_database(url):
        return months.prune(day("2031-03-20"))


def test_a_keeper_makes_room_and_takes_away_by_the_retention(each_database: str, redis: Any) -> None:
    DatabaseHistory().record([run("j:old", day("2019-01-01")), run("j:new", NOW)])

    while DatabaseHistory().tidy(90 * 86_400):
        pass

    assert list(Run.objects.values_list("pk", flat=True)) == ["j:new"]
    if each_database == "postgresql":
        assert len(partitions("backbeat_run")) == 2 + months.AHEAD


def test_rows_go_in_bounded_steps(each_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(months, "ROWS_A_STEP", 10)
    DatabaseHistory().record([run(f"j:{n}", day("2019-01-01")) for n in range(25)])

    counts = [months.prune(NOW - timedelta(days=30)).rows for _ in range(4)]

    assert counts == [10, 10, 5, 0]
    assert Attempt.objects.count() == 0


def test_a_batch_that_was_taken_for_new_and_is_not_is_merged(each_database: str) -> None:
    began, ended = started(1000), finished(2000, started_at=T0 + 1000)
    DatabaseHistory().record([began._replace(first=True)])

    other = finished(2000, run_id="other:1")._replace(first=True)
    for _ in range(2):
        DatabaseHistory().record([began._replace(first=True), ended, other])

    assert dict(Run.objects.values_list("run_id", "state")) == {began.run_id: "succeeded", "other:1": "succeeded"}
    assert Attempt.objects.count() == 2


def asked(*words: str) -> Any:
    return CliRunner().invoke(main, ["history", *words])


def test_the_command_prunes_by_age_and_shows_what_is_left(
    each_database: str, redis: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "webadmin.settings")
    DatabaseHistory().record([run("j:old", day("2019-01-01")), run("j:new", NOW)])

    answer = asked("prune", "--older-than", "90d", "-o", "json")

    assert answer.exit_code == 0, answer.output
    assert json.loads(answer.output)["rows"] == 1
    assert list(Run.objects.values_list("pk", flat=True)) == ["j:new"]
    shown = json.loads(asked("show", "-o", "json").output)
    assert (shown["event_backlog"], shown["retention_s"]) == (0, None)
    tables = {one["table"] for one in shown["tables"]}
    assert tables >= {"backbeat_run_rest", "backbeat_dagrun"} if each_database == "postgresql" else tables == set()
    assert "kept for: ever" in asked("show").output


@pytest.mark.parametrize(("words", "said"), [((), "none, and"), (("--older-than", "5m"), "5m"), (("--older-than", "x"), "x")])
def test_an_age_that_would_take_everything_is_refused(words: tuple[str, ...], said: str) -> None:
    answer = asked("prune", *words)

    assert answer.exit_code == 2
    assert said in answer.output

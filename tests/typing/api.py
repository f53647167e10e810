"""The public API as a type checker sees it. Checked by tests/typing/test_api.py; never run.

A line with `type: ignore[code]` is one that must be refused: an ignore that is not needed is an error.
"""

from datetime import UTC, date, datetime, timedelta
from typing import Any, assert_type

from pydantic import BaseModel

from backbeat import Backbeat, Cron, Every, Once, Retry, Schedule, adopt, current_run, dag, job, submit, submit_many
from backbeat.core.keys import RunId
from backbeat.testing import run_inline


class Day(BaseModel):
    day: date


@job
def plain(x: int, y: str = "") -> float:
    return x / 2


@job(
    "reports.daily",
    schedule=[Cron("30 2 * * *", tz="Europe/Berlin"), Every("5m"), Schedule(Once(datetime.now(UTC)), key="first")],
    pool="reports",
    priority="high",
    retry=Retry(3, cap="10m"),
    timeout=timedelta(minutes=20),
    soft_timeout="19m",
    start_deadline=3600,
    overlap="skip",
    misfire="latest",
    enabled=True,
    owner="team-x",
    labels={"tier": "1"},
)
def daily(day: date, limit: int = 10) -> dict[str, int]:
    run = current_run()
    run.progress(0.5, "half")
    run.log.info("run %s, attempt %d", run.id, run.attempt)
    assert_type(run.nominal, datetime | None)
    return {"rows": limit}


@job("billing.close", params=Day)
def close(p: Day) -> bool:
    return p.day is not None


# A job is still its function.
assert_type(plain(1, "a"), float)
assert_type(daily(date.today(), limit=3), dict[str, int])  # noqa: DTZ011 - never run
assert_type(close(Day(day=date(2026, 1, 1))), bool)
assert_type(close(day="2026-01-01"), bool)
assert_type(submit("reports.daily", kwargs={"day": "2026-01-01"}, key="invoice-42"), RunId)
assert_type(submit(daily, args=["2026-01-01"]), RunId)
assert_type(submit(daily, args=["2026-01-01"], on_commit=True), RunId)
assert_type(submit_many(daily, [["2026-01-01"], {"day": "2026-01-02"}], keys=["a", "b"]), list[RunId])
assert_type(daily.name, str)
plain.delay(1, y="a")
plain.apply_async((1,), {"y": "a"}, countdown=10)
plain.s(1).apply_async()
assert_type(run_inline(daily, date(2026, 1, 1), nominal=datetime.now(UTC)).heartbeats, int)

plain("1")  # type: ignore[arg-type]
plain(1, z=2)  # type: ignore[call-arg]
plain.delay("1")  # type: ignore[arg-type]
daily(limit="3", day=date(2026, 1, 1))  # type: ignore[arg-type]
submit(daily, key=42)  # type: ignore[arg-type]
current_run().progress("half")  # type: ignore[arg-type]
Retry("3")  # type: ignore[arg-type]
Cron(5)  # type: ignore[arg-type]


@job("x", prioritty=3)  # type: ignore[call-overload, untyped-decorator]
def misspelt() -> None: ...


@job("x", timeout=[1])  # type: ignore[call-overload, untyped-decorator]
def wrong_type() -> None: ...


@job("x", schedule="0 4 * * *")  # type: ignore[arg-type]
def text_is_no_schedule() -> None: ...


@dag("etl.daily", schedule=Cron("0 4 * * *"), max_active=1, timeout="1h")
def etl(day: str = "2026-01-01") -> None:
    with dag.group("all"):
        plain(1)


assert_type(etl.start(key="a"), RunId)


@dag("x", max_activ=1)  # type: ignore[call-overload, untyped-decorator]
def misspelt_graph() -> None: ...


app = Backbeat("webadmin")
legacy: Any = app.tasks["legacy.report"]
adopted = adopt(legacy, "legacy.nightly", schedule=Every("1h"), retry=2)
adopted.delay("anything", goes=True)
adopt(legacy, overlapp="skip")  # type: ignore[call-arg]

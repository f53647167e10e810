"""Jobs that outlast RabbitMQ's patience, in words with a cure."""

from __future__ import annotations

from backbeat.runtime.queue_check import longer_timeout, outlasting

JOBS = [("short", 60.0), ("any", None), ("long", 7200.0), ("longest", 7260.0)]


def test_jobs_that_may_outlast_it_are_named_with_the_value_that_would_do() -> None:
    assert outlasting(JOBS, 1800.0) == (
        "RabbitMQ takes the message of a run back after 30m, and these may run longer: longest (2h1m), long (2h)"
    )
    assert longer_timeout(JOBS) == (
        "Put `consumer_timeout = 8040000` into rabbitmq.conf, restart RabbitMQ, and set BACKBEAT_CONSUMER_TIMEOUT=2h14m; "
        "or shorten their timeout."
    )


def test_nothing_is_said_when_all_fit() -> None:
    assert outlasting(JOBS, 8040.0) == ""
    assert outlasting([("a", float(number)) for number in range(9)], 1.0).endswith("and 2 more")

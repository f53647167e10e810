"""When a failed attempt is tried again."""

from __future__ import annotations

import pytest

from backbeat.core.retry import Retry, next_delay
from backbeat.errors import DefinitionError


def test_delays_double_up_to_the_cap() -> None:
    policy = Retry(6, delay="1s", cap="10s", jitter=False)

    assert [next_delay(policy, attempt, 0.0) for attempt in range(1, 7)] == [1, 2, 4, 8, 10, 10]


def test_no_attempt_follows_the_last() -> None:
    assert next_delay(Retry(2), 3, 0.0) is None


def test_jitter_stays_between_half_and_the_whole_step() -> None:
    policy = Retry(9, delay="8s", backoff="fixed")

    assert next_delay(policy, 1, 0.0) == 4
    assert next_delay(policy, 1, 0.999) == pytest.approx(8, abs=0.01)


def test_only_the_named_errors_are_retried() -> None:
    policy = Retry(3, on=(OSError,), give_up_on=("FileNotFoundError",))  # type: ignore[arg-type]  # classes are accepted

    assert policy.wants(("ConnectionError", "OSError", "Exception"))
    assert not policy.wants(("FileNotFoundError", "OSError", "Exception"))
    assert not policy.wants(("ValueError", "Exception"))


@pytest.mark.parametrize("options", [{"max": -1}, {"max": 2, "backoff": "linear"}, {"max": 1, "delay": "soon"}])
def test_a_policy_that_means_nothing_is_refused(options: dict) -> None:
    with pytest.raises(DefinitionError):
        Retry(**options)

"""The one-line form in which schedules are kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backbeat.core.when import (
    DAY_POLICIES,
    DIALECTS,
    GAP_POLICIES,
    OVERLAP_POLICIES,
    SOLAR_EVENTS,
    Cron,
    Every,
    Once,
    RRule,
    Solar,
    When,
    from_ms,
    from_text,
    to_text,
)
from backbeat.errors import BadSchedule

CRONS = st.builds(
    Cron,
    st.text(max_size=40),
    tz=st.text(max_size=10),
    dialect=st.sampled_from(DIALECTS),
    gap=st.sampled_from(GAP_POLICIES),
    fold=st.sampled_from(OVERLAP_POLICIES),
    days=st.sampled_from(DAY_POLICIES),
    hash_key=st.text(max_size=10),
)
MOMENTS = st.integers(-(10**12), 4 * 10**12).map(from_ms)
RULES = st.builds(RRule, st.text(max_size=40), MOMENTS, tz=st.text(max_size=10), fold=st.sampled_from(OVERLAP_POLICIES))
SUNS = st.builds(Solar, st.sampled_from(SOLAR_EVENTS), st.floats(-90, 90), st.floats(-180, 180))
WHENS = (
    CRONS
    | RULES
    | SUNS
    | st.builds(Once, MOMENTS)
    | st.builds(Every, st.integers(1, 10**9).map(lambda ms: f"{ms}ms"), st.none() | MOMENTS)
)


@given(WHENS)
def test_every_schedule_comes_back_as_it_went(when: When) -> None:
    assert from_text(to_text(when)) == when


@pytest.mark.parametrize(
    ("when", "text"),
    [
        (Cron("30 2 * * *", tz="Europe/Berlin"), "cron|Europe/Berlin|30 2 * * *"),
        (Cron("0 0 2 * * ?", dialect="quartz", gap="shift"), "cron|UTC|0 0 2 * * ?|dialect=quartz|gap=shift"),
        (Cron("H 3 * * *", hash_key="a|b"), "cron|UTC|H 3 * * *|hash_key=a%7Cb"),
        (Every("5m"), "every|300000|0"),
        (Once(from_ms(1_700_000_000_000)), "once|1700000000000"),
    ],
)
def test_the_form_is_short_and_stable(when: When, text: str) -> None:
    assert to_text(when) == text


@pytest.mark.parametrize(
    "text", ["", "cron", "cron|UTC", "weekly|1", "every|x|0", "every|0|0", "once|", "cron|UTC|* * * * *|colour=red"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(BadSchedule):
        from_text(text)

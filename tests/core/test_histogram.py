"""Buckets of lengths: exact where small, six percent where large, and only the last minute counts."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from backbeat.core.histogram import Minute, bucket_of, from_text, longest_in, quantile, to_text


@given(st.integers(0, 10**12))
def test_a_bucket_tells_a_length_to_about_six_percent(length: int) -> None:
    longest = longest_in(bucket_of(length))

    assert length <= longest <= length * 17 / 16 + 1


@given(st.integers(0, 10**9))
def test_buckets_follow_the_order_of_lengths(length: int) -> None:
    assert bucket_of(length) <= bucket_of(length + 1) <= bucket_of(length) + 1


@given(st.lists(st.integers(0, 31), min_size=1))
def test_a_quantile_of_small_lengths_is_exact(lengths: list[int]) -> None:
    counts = Counter(map(bucket_of, lengths))

    assert quantile(counts, 1.0) == max(lengths)
    assert quantile(counts, 0.5) == sorted(lengths)[(len(lengths) - 1) // 2]


def test_of_nothing_there_is_no_quantile() -> None:
    assert quantile({}, 0.5) is None


@given(st.dictionaries(st.integers(0, 600), st.integers(1, 10**9)))
def test_counts_survive_as_text(counts: dict[int, int]) -> None:
    assert from_text(to_text(counts)) == counts


def test_a_minute_forgets_what_is_older() -> None:
    minute = Minute()
    minute.add(100, [(5000, 1)])
    minute.add(130, [(20, 3)])

    assert minute.summary(159) == ({bucket_of(5000): 1, 20: 3}, 5000)
    assert minute.summary(160) == ({20: 3}, 20)
    assert minute.summary(190) == ({}, 0)

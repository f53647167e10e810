"""Sizes as people write them."""

from __future__ import annotations

import pytest

from backbeat.core.size import memory_of, size, size_words
from backbeat.errors import DefinitionError


@pytest.mark.parametrize(
    ("text", "length"), [("65536", 65536), ("64KiB", 65536), ("512 MiB", 512 << 20), ("2g", 2 << 30), ("1MIB", 1 << 20)]
)
def test_a_size_is_read_and_written_again(text: str, length: int) -> None:
    assert size(text) == length
    assert size(size_words(length)) == length


@pytest.mark.parametrize("value", ["512MB", "much", "-1", "1.5GiB", True, "", "12KiB", 4096])
def test_what_is_no_limit_of_memory_is_refused(value: object) -> None:
    with pytest.raises(DefinitionError, match=r"^memory: expected "):
        memory_of(value, "memory")


def test_no_limit_stays_none() -> None:
    assert memory_of(None, "memory") is None
    assert memory_of("256MiB", "memory") == memory_of(256 << 20, "memory") == 268435456

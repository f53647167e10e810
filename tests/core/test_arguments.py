"""What is too large, too deep or no text is refused before it travels."""

from __future__ import annotations

import json
from functools import reduce
from typing import Any

import pytest

from backbeat.core.arguments import DEEPEST, LARGEST, too_much
from backbeat.core.check import argument_problems
from backbeat.core.message import arguments_of


def nested(depth: int) -> Any:
    return reduce(lambda inside, _: [inside], range(depth), 0)


@pytest.mark.parametrize(
    "args",
    [[], ["x" * (LARGEST - 100)], [nested(DEEPEST - 3)], ["[" * 500], ['"[' * 500, "\\"], [{"a": [{}] * 500}], ["é\u0000"]],
)
def test_what_fits_travels(args: list[Any]):
    assert too_much(arguments_of(args, {})) is None


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (["x" * LARGEST], "expected at most 1,048,576 bytes of JSON; got 1,048,5"),
        (["é" * (LARGEST // 2)], "expected at most 1,048,576 bytes of JSON; got "),
        ([nested(DEEPEST)], "expected lists and objects at most 100 deep; got 102."),
        (["\ud800"], "expected valid Unicode text; got a lone surrogate, '\\ud800'."),
    ],
)
def test_what_does_not_fit_is_refused_with_the_reason(args: list[Any], reason: str):
    [problem] = argument_problems(args, {})

    assert problem.sentence.startswith(reason)


def test_depth_is_counted_outside_of_texts():
    text = json.dumps([nested(90), "]]]]]]" * 20, '\\"[' * 200])

    assert too_much(text) is None

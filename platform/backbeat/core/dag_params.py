"""Types of a DAG's parameters, for graphs that no code defines: the words of JSON Schema."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from backbeat.errors import nearest

TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list, tuple),
    "object": (dict,),
}


def odd_types(types: Mapping[str, str], required: tuple[str, ...], defaults: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the types of parameters: words that are none, parameters that are none, defaults that do not fit."""
    known = (*required, *defaults)
    for name, word in types.items():
        if name not in known:
            yield f"types: the DAG has no parameter {name!r}.{nearest(name, known)}"
        if word not in TYPES:
            yield f"types: expected parameter {name!r} to be one of {', '.join(TYPES)}; got {word!r}.{nearest(word, TYPES)}"
    # A default of null stands for "not given".
    yield from misfits(types, {name: value for name, value in defaults.items() if value is not None})


def misfits(types: Mapping[str, str], values: Mapping[str, Any]) -> Iterator[str]:
    """A sentence for each value that is not of its parameter's type."""
    for name, value in values.items():
        allowed = TYPES.get(types.get(name, ""))
        # True is an int to Python, and none to JSON.
        if allowed and (not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed)):
            yield f"expected {name!r} to be {_words(types[name])}; got {json.dumps(value, ensure_ascii=False, default=repr):.80}."


def _words(word: str) -> str:
    return {"string": "text", "integer": "a whole number", "number": "a number", "boolean": "true or false"}.get(
        word, "a list" if word == "array" else "an object"
    )

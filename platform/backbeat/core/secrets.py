"""Secrets among arguments: which they are, and what is shown instead.

An argument is secret when its name says so (`password`, `api_key`, `Authorization`), at any depth, or when its parameter has the
type `Secret`. The latter travels as `{"$secret": "…"}`, so that whoever shows it needs no code of the job to know. The same mark
is put on what is given by position to a parameter with a secret's name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

MASK = "***"
TAG = "$secret"
SHORTEST = 4
"""Shorter values are not looked for in texts: "1" stands everywhere."""

_WORDS = "pwd|secret|token|credentials?|authorization|cookie|(?:api|access|private|secret|signing)_key"
_NAME = re.compile(rf"(?:^|_)(?:{_WORDS})(?:_|$)|password|passwd|passphrase|apikey")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_PERHAPS = re.compile(rf"{re.escape(TAG)}|pass|pwd|secret|token|credential|authorization|cookie|key", re.IGNORECASE)


def is_secret_name(name: str) -> bool:
    """Whether a parameter or key of this name holds a secret: `db_password`, `apiKey`, `X-Auth-Token`; not `tokens`, `key`."""
    return _NAME.search(_HUMP.sub("_", name).replace("-", "_").lower()) is not None


def tagged(value: Any) -> dict[str, Any]:
    """A secret as it travels."""
    return {TAG: value}


def untagged(value: Any) -> Any:
    """What a tagged value holds; anything else as it is."""
    return value[TAG] if isinstance(value, dict) and value.keys() == {TAG} else value


def masked(value: Any) -> Any:
    """JSON-like data without its secrets."""
    if isinstance(value, Mapping):
        if value.keys() == {TAG}:
            return MASK
        return {name: MASK if _is_secret(name, inner) else masked(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [masked(inner) for inner in value]
    return value


def masked_text(arguments: str) -> str:
    """Arguments in the ledger's form (JSON of `[args, kwargs]`, parted by a tab) without their secrets."""
    if _PERHAPS.search(arguments) is None:
        return arguments
    args, kwargs = json.loads(arguments)
    shown = [json.dumps(masked(part), separators=(",", ":"), ensure_ascii=False) for part in (args, kwargs)]
    return f"[{shown[0]},\t{shown[1]}]"


def unmasked(value: Any, before: Any) -> Any:
    """What somebody wrote who saw `before` masked: a mask that was left as it was stands for what was there."""
    if value == MASK and before is not None:
        return before
    if isinstance(value, dict) and isinstance(before, Mapping):
        return {name: unmasked(inner, before.get(name)) for name, inner in value.items()}
    if isinstance(value, list) and isinstance(before, (list, tuple)):
        return [unmasked(inner, old) for inner, old in zip(value, [*before, *[None] * len(value)], strict=False)]
    return value


def holds_mask(value: Any) -> bool:
    """Whether something was taken out of this data."""
    if isinstance(value, Mapping):
        return any(map(holds_mask, value.values()))
    if isinstance(value, (list, tuple)):
        return any(map(holds_mask, value))
    return bool(value == MASK)


def secrets_in(value: Any) -> list[str]:
    """The texts that must not show up elsewhere, the longest first."""
    found = {text for text in _texts(value, secret=False) if len(text) >= SHORTEST}
    quoted = {json.dumps(text)[1:-1] for text in found} | {json.dumps(text, ensure_ascii=False)[1:-1] for text in found}
    return sorted(found | quoted | {repr(text)[1:-1] for text in found}, key=len, reverse=True)


def scrubbed(text: str, secrets: Iterable[str]) -> str:
    """A text with a mask in place of each secret."""
    for secret in secrets:
        text = text.replace(secret, MASK)
    return text


def with_names(args: Sequence[Any], names: Sequence[str]) -> list[Any]:
    """Arguments by position, those tagged whose parameters have a secret's name."""
    short = [*names[: len(args)], *[""] * (len(args) - len(names))]
    return [
        tagged(untagged(value)) if _is_secret(name, untagged(value)) else value for value, name in zip(args, short, strict=True)
    ]


def _is_secret(name: object, value: Any) -> bool:
    return value is not None and not isinstance(value, bool) and isinstance(name, str) and is_secret_name(name)


def _texts(value: Any, *, secret: bool) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _texts(inner, secret=secret or name == TAG or _is_secret(name, inner))
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _texts(inner, secret=secret)
    elif secret and isinstance(value, str):
        yield value

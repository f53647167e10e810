"""Arguments of a job: checked against the function's type hints or a pydantic model, carried as JSON.

A date, Decimal, UUID or enum that a hint names travels as JSON text and is a date, Decimal, UUID or enum again when the job
runs. A parameter without a hint takes what JSON itself can hold.
"""

from __future__ import annotations

import inspect
import json
import types
import typing
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from backbeat.core.job import JobSpec
from backbeat.core.limits import names_in
from backbeat.core.secrets import is_secret_name
from backbeat.errors import BadArguments, DefinitionError

Packed = tuple[list[Any], dict[str, Any]]


class Params(ABC):
    """What a job takes."""

    @staticmethod
    def of(function: Callable[..., Any], model: type[Any] | None = None) -> Params:
        """The parameters of a function, or of the pydantic model that its one parameter takes.

        Raises DefinitionError when a type hint is unknown or its values can't travel as JSON.
        """
        # Imported here: pydantic takes longer to load than all else that a module of jobs needs.
        from backbeat.runtime.params_hints import HintParams
        from backbeat.runtime.params_model import ModelParams

        return HintParams(function) if model is None else ModelParams(function, model)

    @staticmethod
    def of_task(function: Callable[..., Any]) -> Params:
        """The parameters of a Celery task that stays as it is: their number and names count, their hints do not."""
        from backbeat.runtime.params_task import TaskParams

        return TaskParams(function)

    positional: Sequence[str] = ()
    """The names of what may be given by position."""

    @abstractmethod
    def validate(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Packed:
        """The arguments as JSON can carry them. Raises BadArguments with every mistake."""

    @abstractmethod
    def restore(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Packed:
        """The arguments as the function wants them. Raises BadArguments with every mistake."""

    @abstractmethod
    def named(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments, as they came from a queue, by the names of the parameters, defaults included."""

    @abstractmethod
    def unknown(self, names: Iterable[str]) -> list[str]:
        """Those of the names that no argument has, each as a sentence ends with it: with the nearest one that there is."""

    @abstractmethod
    def json_schema(self) -> dict[str, Any]:
        """JSON Schema of the arguments by name, for forms."""


def misnamed(spec: JobSpec, params: Params) -> list[DefinitionError]:
    """Keys that name arguments which the job's function does not take."""
    named = {option: names_in(getattr(spec, option)) for option in ("concurrency_key", "rate_key")}
    return [
        DefinitionError(option, f"expected names of arguments; job {spec.name!r} takes no {unknown}")
        for option, names in named.items()
        for unknown in params.unknown(sorted(names))[:1]
    ]


def hints_of(function: Callable[..., Any]) -> dict[str, Any]:
    """The type hints of a function's parameters (not of its result). Raises DefinitionError for one that names nothing."""
    inner = inspect.unwrap(function)
    inner = getattr(inner, "__func__", inner)
    written = {name: hint for name, hint in getattr(inner, "__annotations__", {}).items() if name != "return"}
    shim = types.SimpleNamespace(__annotations__=written)
    try:
        return typing.get_type_hints(shim, globalns=getattr(inner, "__globals__", {}), include_extras=True)
    except NameError as error:
        cure = "Import it outside TYPE_CHECKING."
        raise DefinitionError(
            "params", f"a type hint of {function.__qualname__} names {error.name!r}, unknown at run time. {cure}"
        ) from None


def to_json(value: object, where: str) -> object:
    """`value` as JSON holds it. Raises BadArguments for what JSON has no form for, NaN and infinity included."""
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        cure = "Give the parameter a type hint, and dates, Decimals, enums and models travel too."
        raise BadArguments(where, f"expected what JSON can hold; got {_short(value)} ({error}). {cure}") from None


def refuse(problems: Sequence[tuple[str, str]]) -> None:
    """Raise BadArguments when there is any problem: (parameter, sentence)."""
    if not problems:
        return
    where, sentence = problems[0]
    for other, also in problems[1:]:
        sentence += f" {other}: {also}"
    raise BadArguments(where, sentence)


def sentences(where: str, error: Any) -> list[tuple[str, str]]:
    """pydantic's errors as (parameter, sentence)."""
    found = []
    for item in error.errors(include_url=False, include_context=False):
        path = ".".join(str(step) for step in item["loc"] if step != "__root__")
        place = ".".join(part for part in (where, path) if part) or "arguments"
        message = item["msg"].removeprefix("Value error, ")
        hidden = item["type"] == "missing" or any(map(is_secret_name, place.split(".")))
        got = "" if hidden else f"; got {_short(item['input'])}"
        found.append((place, f"{message[:1].lower()}{message[1:]}{got}."))
    return found


def _short(value: object) -> str:
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - any class may be passed in, also one whose __repr__ is broken
        text = f"a {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:77]}…"

"""Parameters described by a function's own type hints."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from inspect import Parameter
from typing import Any, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError

from backbeat.core.secrets import masked, untagged, with_names
from backbeat.errors import BadArguments, DefinitionError, nearest
from backbeat.runtime.params import Packed, Params, hints_of, refuse, sentences, to_json

Mode = Literal["validation", "serialization"]

_BY_POSITION = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
_BY_NAME = (Parameter.KEYWORD_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
_SIMPLE = (int, float, str, bool)
"""Types that JSON carries as they are, so that a value of one needs no look when it comes back."""


class HintParams(Params):
    """Each parameter is checked by its own hint; calls keep their shape (positional stays positional)."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._signature = inspect.signature(function)
        parameters = self._signature.parameters.values()
        hints = self._hints(function)
        self.positional: Sequence[str] = [p.name for p in parameters if p.kind in _BY_POSITION]
        self._named = {p.name for p in parameters if p.kind in _BY_NAME}
        self._rest = next((p.name for p in parameters if p.kind is Parameter.VAR_POSITIONAL), None)
        self._extra = next((p.name for p in parameters if p.kind is Parameter.VAR_KEYWORD), None)
        self._required = {p.name for p in parameters if p.default is Parameter.empty} - {self._rest, self._extra}
        simple = [hints.get(name) for name in self.positional] if self._required <= set(self.positional) else [None]
        self._simple = tuple(hint if hint in _SIMPLE else None for hint in simple)
        self._adapters = {p.name: _adapter(p.name, _meant(p, hints)) for p in parameters if hints.get(p.name, Any) is not Any}

    def validate(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Packed:
        """The arguments as JSON can carry them. Raises BadArguments with every mistake."""
        packed, named = self._each(args, kwargs, self._pack)
        return self._tagged(packed), named

    def restore(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Packed:
        """The arguments as the function wants them. Raises BadArguments with every mistake."""
        if not kwargs and tuple(map(type, args)) == self._simple:
            return list(args), {}
        return self._each(args, kwargs, self._typed)

    def named(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments by the names of the parameters, defaults included."""
        defaults = {name: p.default for name, p in self._signature.parameters.items() if p.default is not Parameter.empty}
        return {**defaults, **dict(zip(self.positional, args, strict=False)), **kwargs}

    def unknown(self, names: Iterable[str]) -> list[str]:
        """Those of the names that no parameter has."""
        known = {*self.positional, *self._named}
        return [] if self._extra else [f"{name!r}.{nearest(name, sorted(known))}" for name in names if name not in known]

    def json_schema(self) -> dict[str, Any]:
        """JSON Schema of the arguments by name."""
        given = {name: p for name, p in self._signature.parameters.items() if name not in (self._rest, self._extra)}
        keyed: list[tuple[str, Mode, TypeAdapter[Any]]]
        keyed = [(name, "validation", self._adapters[name]) for name in given if name in self._adapters]
        schemas, shared = TypeAdapter.json_schemas(keyed, ref_template="#/$defs/{model}")
        properties = {}
        for name, parameter in given.items():
            properties[name] = {"title": name.replace("_", " ").capitalize(), **schemas.get((name, "validation"), {})}
            if parameter.default is not Parameter.empty:
                properties[name] |= self._default(name, parameter.default)
        schema: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": self._extra is not None}
        if self._required:
            schema["required"] = [name for name in given if name in self._required]
        return schema | {key: value for key, value in shared.items() if key == "$defs"}

    def _hints(self, function: Callable[..., Any]) -> dict[str, Any]:
        return hints_of(function)

    def _default(self, name: str, value: object) -> dict[str, Any]:
        try:
            default = {name: self._pack(name, name, value)}
            return {"default": default[name]} if masked(default) == default else {}
        except BadArguments:
            # A default such as a private sentinel is the function's own affair; a form just leaves the field empty.
            return {}

    def _each(self, args: Sequence[Any], kwargs: Mapping[str, Any], change: Callable[[str, str, Any], Any]) -> Packed:
        problems = list(self._misfits(args, kwargs))
        positional = [self._try(self._slot(index), value, change, problems) for index, value in enumerate(args)]
        named = {
            name: self._try((name if name in self._named else self._extra or "", name), value, change, problems)
            for name, value in kwargs.items()
        }
        refuse(problems)
        return positional, named

    def _tagged(self, packed: list[Any]) -> list[Any]:
        """What is secret by its parameter's name has no name when it is given by position, so it gets a mark."""
        return with_names(packed, self.positional)

    def _slot(self, index: int) -> tuple[str, str]:
        """The parameter that takes the argument at this position, and what to call it in a message."""
        if index < len(self.positional):
            return self.positional[index], self.positional[index]
        return self._rest or "", f"{self._rest or 'argument'}[{index - len(self.positional)}]"

    def _misfits(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        if len(args) > len(self.positional) and not self._rest:
            yield "arguments", f"expected at most {len(self.positional)} by position; got {len(args)}."
        taken = set(self.positional[: len(args)])
        for name in kwargs:
            if name in taken and name in self._named:
                yield name, "given twice, by position and by name."
            elif name not in self._named and not self._extra:
                known = ", ".join(sorted(self._named)) or "none"
                yield name, f"no such parameter.{nearest(str(name), sorted(self._named))} Known: {known}."
        for name in self._signature.parameters:
            if name in self._required and name not in taken and name not in kwargs:
                yield name, "missing, and it has no default."

    @staticmethod
    def _try(slot: tuple[str, str], value: Any, change: Callable[[str, str, Any], Any], problems: list[tuple[str, str]]) -> Any:
        try:
            return change(*slot, value)
        except BadArguments as error:
            problems.append((error.field, error.sentence))
            return None

    def _typed(self, name: str, where: str, value: Any) -> Any:
        adapter, value = self._adapters.get(name), untagged(value)
        if adapter is None:
            return value
        try:
            return adapter.validate_python(value, by_alias=True, by_name=True)
        except ValidationError as error:
            refuse(sentences(where, error))
            raise

    def _pack(self, name: str, where: str, value: Any) -> Any:
        adapter = self._adapters.get(name)
        if adapter is None:
            return to_json(untagged(value), where)
        typed = self._typed(name, where, value)
        return to_json(adapter.dump_python(typed, mode="json", by_alias=False, round_trip=True, warnings=False), where)


def _meant(parameter: Parameter, hints: Mapping[str, Any]) -> Any:
    """The hint; `x: int = None` takes None too, as whoever wrote it surely meant."""
    hint = hints[parameter.name]
    return hint | None if parameter.default is None else hint


def _adapter(name: str, hint: Any) -> TypeAdapter[Any]:
    try:
        adapter: TypeAdapter[Any] = _build(hint)
        schema = adapter.json_schema()
    except (PydanticSchemaGenerationError, PydanticUserError) as error:
        reason = str(error).splitlines()[0]
        expected = "expected a type that JSON can carry"
        raise DefinitionError("params", f"parameter {name!r}: {expected}; got {hint!r}. {reason}") from None
    refuse_hidden(name, schema)
    return adapter


def _build(hint: Any) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(hint, config=ConfigDict(ser_json_bytes="base64", val_json_bytes="base64"))
    except PydanticUserError as error:
        if error.code != "type-adapter-config-unused":
            raise
        return TypeAdapter(hint)


def refuse_hidden(name: str, schema: object) -> None:
    """Refuse SecretStr and its like: pydantic writes them as asterisks, so that the job would get those."""
    if isinstance(schema, dict):
        if schema.get("writeOnly") and schema.get("format") == "password":
            cure = "Take backbeat.Secret, or better pass the name of the secret and let the job look it up."
            raise DefinitionError("params", f"parameter {name!r}: a SecretStr can't travel to a worker. {cure}")
        for part in schema.values():
            refuse_hidden(name, part)
    elif isinstance(schema, list):
        for part in schema:
            refuse_hidden(name, part)

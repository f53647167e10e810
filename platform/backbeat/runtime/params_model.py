"""Parameters described by a pydantic model, which the function takes as its one argument."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from backbeat.errors import BadArguments, DefinitionError, nearest
from backbeat.runtime.params import Packed, Params, refuse, sentences, to_json
from backbeat.runtime.params_hints import refuse_hidden


class ModelParams(Params):
    """`job(params=Model)`: callers give the model's fields by name, or one model, or one mapping."""

    def __init__(self, function: Callable[..., Any], model: type[Any]) -> None:
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            raise DefinitionError("params", f"expected a pydantic model class; got {model!r}.")
        _refuse_wrong_shape(function, model)
        self._model = model
        refuse_hidden("params", self.json_schema())

    def validate(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Packed:
        """The model's fields by name, as JSON can carry them. Raises BadArguments with every mistake."""
        model = self._read(args, kwargs)
        fields = model.model_dump(mode="json", by_alias=False, round_trip=True, exclude_unset=True, warnings=False)
        return [], {name: to_json(value, name) for name, value in fields.items()}

    def restore(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Packed:
        """The model, as the function's one argument. Raises BadArguments with every mistake."""
        return [self._read(args, kwargs)], {}

    def named(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG002 - a model's fields travel by name
        """The model's fields, defaults included."""
        defaults = {name: field.default for name, field in self._model.model_fields.items() if not field.is_required()}
        return {**defaults, **kwargs}

    def unknown(self, names: Iterable[str]) -> list[str]:
        """Those of the names that no field has."""
        known = self._model.model_fields
        return [f"{name!r}.{nearest(name, sorted(known))}" for name in names if name not in known]

    def json_schema(self) -> dict[str, Any]:
        """JSON Schema of the model, by the names of its fields."""
        return self._model.model_json_schema(by_alias=False)

    def _read(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> BaseModel:
        if len(args) == 1 and not kwargs and isinstance(args[0], self._model):
            return args[0]
        if len(args) == 1 and not kwargs and isinstance(args[0], Mapping):
            args, kwargs = [], args[0]
        if args:
            expected = f"expected one {self._model.__name__} or its fields by name"
            raise BadArguments("arguments", f"{expected}; got {len(args)} by position.")
        self._refuse_unknown(kwargs)
        try:
            return self._model.model_validate(dict(kwargs), by_alias=True, by_name=True)
        except ValidationError as error:
            refuse(sentences("", error))
            raise

    def _refuse_unknown(self, kwargs: Mapping[str, Any]) -> None:
        # pydantic drops unknown names unless told otherwise: a misspelt argument would silently be the default.
        if "extra" in self._model.model_config:
            return
        known = set(self._model.model_fields)
        for field in self._model.model_fields.values():
            alias = field.validation_alias or field.alias
            if alias is not None and not isinstance(alias, str):
                return
            known |= {alias} if alias else set()
        listed = ", ".join(sorted(self._model.model_fields)) or "none"
        refuse(
            [(name, f"no such parameter.{nearest(name, sorted(known))} Known: {listed}.") for name in kwargs if name not in known]
        )


def _refuse_wrong_shape(function: Callable[..., Any], model: type[BaseModel]) -> None:
    parameters = list(inspect.signature(function).parameters.values())
    required = [p.name for p in parameters[1:] if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    if not parameters or parameters[0].kind is inspect.Parameter.KEYWORD_ONLY or required:
        got = ", ".join(p.name for p in parameters) or "none"
        expected = f"expected a function of one parameter, which takes the {model.__name__}"
        raise DefinitionError("params", f"{expected}; got parameters: {got}.")

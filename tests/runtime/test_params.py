"""Arguments are checked by type hints, travel as JSON, and are typed again when the job runs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import BaseModel, Field, Json, SecretStr

from backbeat.errors import BadArguments, DefinitionError
from backbeat.runtime.params import Params


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Window:
    start: date
    days: int = 1


class Order(BaseModel):
    number: int
    total: Decimal


def everything(
    day: date,
    moment: datetime | None = None,
    price: Decimal = Decimal(1),
    *,
    colour: Colour = Colour.RED,
    ids: list[UUID] | None = None,
    wait: timedelta = timedelta(0),
    where: Path = Path("/"),
    window: Window | None = None,
    order: Order | None = None,
    raw: bytes = b"",
    tags: frozenset[str] = frozenset(),
) -> None: ...


GIVEN: dict[str, Any] = {
    "moment": datetime(2026, 11, 23, 2, tzinfo=UTC),
    "price": Decimal("2.50"),
    "colour": Colour.BLUE,
    "ids": [UUID(int=7)],
    "wait": timedelta(hours=1, milliseconds=5),
    "where": Path("/srv/a b"),
    "window": Window(date(2026, 1, 2), 3),
    "order": Order(number=4, total=Decimal("9.90")),
    "raw": b"\x00\xff",
    "tags": frozenset({"x"}),
}


def test_types_that_hints_name_travel_as_json_and_come_back():
    params = Params.of(everything)

    args, kwargs = params.validate([date(2026, 11, 23)], GIVEN)
    travelled = json.loads(json.dumps([args, kwargs]))

    assert args == ["2026-11-23"]
    assert kwargs["colour"] == "blue"
    assert params.restore(*travelled) == ([date(2026, 11, 23)], GIVEN)


def test_a_model_with_other_names_outside_and_a_text_of_json_come_back_too():
    class Parcel(BaseModel):
        weight: int = Field(alias="weightInGrams")

    def send(parcel: Parcel, tags: Json[list[str]]) -> None: ...

    send.__annotations__["parcel"] = Parcel
    params = Params.of(send)

    packed = params.validate([{"weightInGrams": 5}], {"tags": '["a"]'})

    assert params.restore(*json.loads(json.dumps(packed))) == ([Parcel(weightInGrams=5)], {"tags": ["a"]})


def test_what_was_packed_once_packs_to_the_same_again():
    params = Params.of(everything)

    once = params.validate([date(2026, 11, 23)], GIVEN)

    assert params.validate(*once) == once


def test_calls_keep_their_shape_and_defaults_stay_the_functions_own():
    def add(a: int, b: int = 2, *rest: int, scale: float = 1.0, **more: int) -> None: ...

    assert Params.of(add).validate(["1", 2, 3], {"extra": "4"}) == ([1, 2, 3], {"extra": 4})
    assert Params.of(add).validate([], {"a": 1}) == ([], {"a": 1})


@pytest.mark.parametrize(
    ("args", "kwargs", "sentence"),
    [
        ([], {}, "day: missing, and it has no default."),
        (["2026-11-23"], {"limt": 3}, "limt: no such parameter. Did you mean 'limit'? Known: day, limit."),
        (["2026-11-23", 1, 2], {}, "arguments: expected at most 2 by position; got 3."),
        (["2026-11-23"], {"day": "2026-11-23"}, "day: given twice, by position and by name."),
        (["tomorrow"], {}, "day: input should be a valid date"),
        (["2026-11-23", "many"], {}, "limit: input should be a valid integer"),
        (["2026-11-23", -1], {}, "limit: input should be greater than or equal to 0; got -1."),
    ],
)
def test_arguments_that_do_not_fit_are_named(args: list[Any], kwargs: dict[str, Any], sentence: str):
    def daily(day: date, limit: Annotated[int, Field(ge=0)] = 10) -> None: ...

    with pytest.raises(BadArguments) as refusal:
        Params.of(daily).validate(args, kwargs)

    assert str(refusal.value).startswith(sentence)


def test_every_mistake_is_told_at_once():
    def daily(day: date, limit: int) -> None: ...

    with pytest.raises(BadArguments) as refusal:
        Params.of(daily).validate([], {"limit": "x", "lmit": 1})

    assert "day: missing" in str(refusal.value)
    assert "limit: input should be a valid integer" in str(refusal.value)
    assert "lmit: no such parameter" in str(refusal.value)


def test_a_parameter_without_a_hint_takes_what_json_holds():
    def anything(x, y: Any = None) -> None: ...  # type: ignore[no-untyped-def] # what is tested

    params = Params.of(anything)

    assert params.validate([{"a": (1, None, True)}], {"y": "é"}) == ([{"a": [1, None, True]}], {"y": "é"})
    with pytest.raises(BadArguments, match=r"x: expected what JSON can hold; got datetime.*Give the parameter a type hint"):
        params.validate([datetime(2026, 1, 1, tzinfo=UTC)], {})


def test_none_is_welcome_where_it_is_the_default():
    def use(x: int = None, y: str | None = None) -> None: ...  # type: ignore[assignment] # noqa: RUF013 - what is tested

    params = Params.of(use)

    assert params.validate([None], {"y": None}) == ([None], {"y": None})
    assert params.json_schema()["properties"]["x"]["anyOf"] == [{"type": "integer"}, {"type": "null"}]


def test_a_number_that_json_does_not_have_is_refused():
    def scaled(x: float, y=0) -> None: ...  # type: ignore[no-untyped-def] # what is tested

    with pytest.raises(BadArguments, match="x: expected what JSON can hold"):
        Params.of(scaled).validate([float("nan")], {})
    with pytest.raises(BadArguments, match="y: expected what JSON can hold"):
        Params.of(scaled).validate([1], {"y": float("inf")})


def test_an_argument_with_a_broken_repr_is_still_named():
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError

    def plain(x) -> None: ...  # type: ignore[no-untyped-def] # what is tested

    with pytest.raises(BadArguments, match="got a Broken"):
        Params.of(plain).validate([Broken()], {})


def test_an_argument_that_holds_itself_is_refused():
    def plain(x) -> None: ...  # type: ignore[no-untyped-def] # what is tested

    loop: list[Any] = []
    loop.append(loop)

    with pytest.raises(BadArguments, match="x: expected what JSON can hold"):
        Params.of(plain).validate([loop], {})


def test_a_hint_whose_values_cannot_travel_is_refused():
    class Connection: ...

    def use(connection: Connection) -> None: ...

    use.__annotations__ = {"connection": Connection}

    with pytest.raises(DefinitionError, match="parameter 'connection': expected a type that JSON can carry"):
        Params.of(use)


def test_a_hint_that_names_nothing_is_refused():
    def use(x: Missing) -> None: ...  # type: ignore[name-defined] # noqa: F821 - what is tested

    with pytest.raises(DefinitionError, match="names 'Missing', unknown at run time"):
        Params.of(use)


def test_a_secret_that_would_arrive_as_asterisks_is_refused():
    def login(password: SecretStr | None = None) -> None: ...

    with pytest.raises(DefinitionError, match="parameter 'password': a SecretStr can't travel"):
        Params.of(login)


def test_the_hint_of_the_result_does_not_matter():
    def use(x: int) -> Missing: ...  # type: ignore[name-defined] # noqa: F821 - what is tested

    assert Params.of(use).validate([1], {}) == ([1], {})


def test_a_form_learns_types_defaults_and_limits():
    def daily(
        day: date, mode: Literal["full", "part"] = "full", limit: Annotated[int, Field(ge=1, description="rows")] = 5
    ) -> None: ...

    schema = Params.of(daily).json_schema()

    assert schema["required"] == ["day"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["day"] == {"title": "Day", "type": "string", "format": "date"}
    assert schema["properties"]["mode"] == {"title": "Mode", "type": "string", "enum": ["full", "part"], "default": "full"}
    assert schema["properties"]["limit"]["minimum"] == 1
    assert schema["properties"]["limit"]["description"] == "rows"


def test_a_forms_schema_holds_the_models_that_it_refers_to():
    schema = Params.of(everything).json_schema()

    assert schema["properties"]["order"]["anyOf"][0] == {"$ref": "#/$defs/Order"}
    assert {"Order", "Colour", "Window"} <= set(schema["$defs"])
    assert schema["properties"]["colour"]["default"] == "red"


def test_a_parameter_may_have_any_name():
    def odd(json: int, model_config: int, _private: int, schema: str) -> None: ...

    assert Params.of(odd).validate([1, 2, 3], {"schema": "x"}) == ([1, 2, 3], {"schema": "x"})

"""`params=Model`: one pydantic model, given whole or by its fields."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, SecretStr, field_validator

from backbeat.errors import BadArguments, DefinitionError
from backbeat.runtime.params import Params


class Day(BaseModel):
    day: date
    amount: Decimal = Decimal(0)
    dry_run: bool = Field(default=False, alias="dryRun")

    @field_validator("amount")
    @classmethod
    def _not_negative(cls, amount: Decimal) -> Decimal:
        if amount < 0:
            raise ValueError("expected zero or more")
        return amount


def close(p: Day) -> None: ...


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ([Day(day=date(2026, 11, 23), dryRun=True)], {}),
        ([{"day": "2026-11-23", "dryRun": True}], {}),
        ([], {"day": date(2026, 11, 23), "dry_run": True}),
        ([], {"day": "2026-11-23", "dryRun": "yes"}),
    ],
)
def test_a_model_is_given_whole_as_a_mapping_or_by_fields(args: list[Any], kwargs: dict[str, Any]):
    params = Params.of(close, Day)

    packed = params.validate(args, kwargs)

    assert packed == ([], {"day": "2026-11-23", "dry_run": True})
    assert params.restore(*packed) == ([Day(day=date(2026, 11, 23), dryRun=True)], {})


@pytest.mark.parametrize(
    ("args", "kwargs", "sentence"),
    [
        ([], {}, "day: field required."),
        (
            [],
            {"day": "2026-11-23", "dryrun": 1},
            "dryrun: no such parameter. Did you mean 'dry_run'? Known: amount, day, dry_run.",
        ),
        ([], {"day": "2026-11-23", "amount": -1}, "amount: expected zero or more; got -1."),
        (["2026-11-23"], {}, "arguments: expected one Day or its fields by name; got 1 by position."),
    ],
)
def test_arguments_that_do_not_fit_are_named(args: list[Any], kwargs: dict[str, Any], sentence: str):
    with pytest.raises(BadArguments) as refusal:
        Params.of(close, Day).validate(args, kwargs)

    assert str(refusal.value) == sentence


def test_a_model_that_says_what_extra_names_mean_is_obeyed():
    class Loose(BaseModel):
        model_config = ConfigDict(extra="allow")

    def run(p: Loose) -> None: ...

    assert Params.of(run, Loose).validate([], {"x": 1}) == ([], {"x": 1})


def test_a_field_with_several_names_takes_each():
    class Many(BaseModel):
        day: int = Field(validation_alias=AliasChoices("d", "the_day"))

    def run(p: Many) -> None: ...

    assert Params.of(run, Many).validate([], {"the_day": 1}) == ([], {"day": 1})
    assert Params.of(run, Many).validate([], {"day": 1}) == ([], {"day": 1})


def test_the_schema_has_the_names_of_the_fields():
    schema = Params.of(close, Day).json_schema()

    assert list(schema["properties"]) == ["day", "amount", "dry_run"]
    assert schema["required"] == ["day"]


def test_what_is_no_model_is_refused():
    with pytest.raises(DefinitionError, match="expected a pydantic model class; got <class 'int'>"):
        Params.of(close, int)


def test_a_function_that_cannot_take_the_model_is_refused():
    def two(p: Day, other: int) -> None: ...

    with pytest.raises(
        DefinitionError, match=r"expected a function of one parameter, which takes the Day; got parameters: p, other."
    ):
        Params.of(two, Day)


def test_a_model_with_a_secret_is_refused():
    class Login(BaseModel):
        password: SecretStr

    def run(p: Login) -> None: ...

    with pytest.raises(DefinitionError, match="a SecretStr can't travel"):
        Params.of(run, Login)

"""Which arguments are secret, what is shown instead, and that nothing is lost by showing it."""

from __future__ import annotations

import json

import pytest

from backbeat.core.message import arguments_in, arguments_of
from backbeat.core.secrets import (
    holds_mask,
    is_secret_name,
    masked,
    masked_text,
    scrubbed,
    secrets_in,
    tagged,
    unmasked,
    with_names,
)


@pytest.mark.parametrize(
    "name",
    [
        "password", "db_password", "PGPASSWORD", "passwd", "token", "authToken", "X-Auth-Token", "secret", "client_secret",
        "api_key", "apiKey", "X-Api-Key", "apikey", "Authorization", "credentials", "private_key", "Cookie", "passphrase",
    ],
)  # fmt: skip
def test_a_name_that_says_secret(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name", ["key", "tokens", "max_tokens", "passenger", "author", "secretary", "keyboard", "path", "monkey"]
)
def test_a_name_that_does_not(name: str) -> None:
    assert not is_secret_name(name)


def test_secrets_are_masked_at_any_depth_and_the_rest_stays() -> None:
    given = {"url": "u", "headers": {"Authorization": "Bearer x", "Accept": "a"}, "parts": [tagged("t"), 1], "token": None}

    assert masked(given) == {"url": "u", "headers": {"Authorization": "***", "Accept": "a"}, "parts": ["***", 1], "token": None}


def test_what_is_given_by_position_gets_its_parameters_name() -> None:
    assert masked(with_names(["ann", "hunter2", 3], ["user", "password"])) == ["ann", "***", 3]
    assert with_names(with_names(["x"], ["token"]), ["token"]) == [tagged("x")], "marked once"


def test_the_text_of_arguments_is_masked_and_stays_what_tools_expect() -> None:
    arguments = arguments_of([tagged("hunter2")], {"password": "hunter2", "größe": 1})

    assert masked_text(arguments) == '["***"],\t{"password":"***","größe":1}'.join("[]")
    shown = json.loads("{" + arguments_in(arguments).rpartition("},")[0] + "}")
    assert (shown["argsrepr"], shown["kwargsrepr"]) == ('["***"]', '{"password":"***","größe":1}')
    plain = arguments_of([1], {"a": "keys"})
    assert masked_text(plain) == plain


def test_who_leaves_a_mask_as_it_was_changes_nothing() -> None:
    before = {"password": "hunter2", "list": [tagged("a"), "b"], "limit": 1}
    seen = masked(before)

    assert unmasked(seen, before) == before
    assert unmasked(seen | {"password": "new", "limit": 2}, before) == before | {"password": "new", "limit": 2}
    assert unmasked(["***"], []) == ["***"]
    assert holds_mask(seen)
    assert not holds_mask(before)


def test_a_secret_is_found_in_any_text_that_quotes_it() -> None:
    secrets = secrets_in({"password": 'hun"ter\n2', "pin": tagged("4711"), "token": "abc", "deep": {"secret": ["inner-one"]}})

    for text in ('hun"ter\n2', json.dumps('hun"ter\n2'), repr('hun"ter\n2'), "inner-one 4711"):
        assert not any(part in scrubbed(text, secrets) for part in ("hun", "inner", "4711"))
    assert "abc" not in secrets, "too short: it would be found everywhere"

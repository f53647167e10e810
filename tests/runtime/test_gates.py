"""Which arguments make the key of a limited run: named, positional, left to their default, or fields of a model."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from backbeat import job
from backbeat.core.limits import filled
from backbeat.errors import DefinitionError
from backbeat.runtime import registry
from tests.support.jobs import no_jobs

__all__ = ["no_jobs"]

pytestmark = pytest.mark.usefixtures("no_jobs")


class Mail(BaseModel):
    tenant: str = "house"
    number: int


@pytest.mark.parametrize(
    ("args", "kwargs", "key"),
    [((), {"tenant": "x"}, "x-eu"), (("x",), {}, "x-eu"), (("x", "us"), {}, "x-us"), (("x",), {"region": "us"}, "x-us")],
)
def test_arguments_count_by_name_however_they_are_given(args: tuple[Any, ...], kwargs: dict[str, Any], key: str) -> None:
    @job("mail.send", max_concurrency=1, concurrency_key="{tenant}-{region}")
    def send(tenant: str, region: str = "eu") -> None: ...

    assert filled("{tenant}-{region}", registry.get("mail.send").params.named(args, kwargs)) == key


def test_fields_of_a_model_count() -> None:
    @job("mail.send", params=Mail, rate="1/s", rate_key="tenant")
    def send(mail: Mail) -> None: ...

    params = registry.get("mail.send").params
    assert [filled("{tenant}", params.named((), given)) for given in ({"number": 1}, {"tenant": "x"})] == ["house", "x"]


def test_a_key_that_no_argument_has_is_refused_at_import() -> None:
    with pytest.raises(DefinitionError, match=r"concurrency_key: .*takes no 'tenent'. Did you mean 'tenant'\?"):

        @job("mail.send", max_concurrency=1, concurrency_key="tenent")
        def send(tenant: str) -> None: ...

    with pytest.raises(DefinitionError, match=r"rate_key: .*takes no 'tenent'. Did you mean 'tenant'\?"):

        @job("mail.other", params=Mail, rate="1/s", rate_key="tenent")
        def other(mail: Mail) -> None: ...

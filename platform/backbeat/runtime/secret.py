"""`Secret`: the type of a parameter whose value nobody but the job shall see."""

from __future__ import annotations

from typing import Any, final

from backbeat.core.secrets import MASK, tagged, untagged


@final
class Secret:
    """A text that does not show itself: `str(secret)` is `***`, and `secret.reveal()` is the text.

    As the type of a job's parameter it is masked in logs, history, tracebacks, pages and tools, whatever the parameter's name.
    Callers give a plain text or a Secret.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        if not isinstance(text, str):
            raise TypeError(f"expected text; got {type(text).__name__}.")
        self._text = text

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def __str__(self) -> str:
        return MASK

    def __repr__(self) -> str:
        return f"Secret('{MASK}')"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: object, _handler: object) -> Any:
        # Imported here: a module of jobs should not need it before its first job with arguments.
        from pydantic_core import core_schema

        as_json = core_schema.plain_serializer_function_ser_schema(lambda secret: tagged(secret.reveal()), when_used="json")
        return core_schema.no_info_plain_validator_function(_read, serialization=as_json)

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: object, _handler: object) -> dict[str, Any]:
        return {"type": "string", "format": "password"}


def _read(value: object) -> Secret:
    inner = untagged(value)
    if isinstance(inner, Secret):
        return inner
    if not isinstance(inner, str):
        raise ValueError("expected a text or a Secret")  # noqa: TRY004 - pydantic reports this kind only
    return Secret(inner)

"""Form fields for what people write in words of their own: durations, labels, lists of names, JSON."""

from __future__ import annotations

from typing import Any

from django import forms

from backbeat.core.duration import seconds, words
from backbeat.core.secrets import masked
from backbeat.core.size import memory_of, size_words
from backbeat.errors import DefinitionError


class Line(forms.CharField):
    """A line of text that stands for a value. Subclasses say how it is read and written."""

    def prepare_value(self, value: Any) -> Any:
        """The text that is shown for a value; what the user typed is shown as it was typed."""
        return value if value is None or isinstance(value, str) else self.written(value)

    def to_python(self, value: Any) -> Any:
        """The value of a text."""
        return self.read((value or "").strip()) if value is None or isinstance(value, str) else value

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compared as values: 90s and 1m30s are the same."""
        try:
            return bool(self.to_python(data or "") != initial)
        except forms.ValidationError:
            return True

    def written(self, value: Any) -> str:
        """The text of a value."""
        raise NotImplementedError

    def read(self, text: str) -> Any:
        """The value of a text. Raises ValidationError."""
        raise NotImplementedError


class Duration(Line):
    """`20m`, `1h30m`; empty is None, or zero where there has to be a number."""

    def __init__(self, *, empty: float | None = None, **options: Any) -> None:
        self.empty = empty
        super().__init__(**{"required": False, "widget": forms.TextInput(attrs={"class": "bb-short"}), **options})

    def written(self, value: Any) -> str:
        """The shortest words; nothing for the value that empty stands for."""
        return "" if value == self.empty else words(float(value))

    def read(self, text: str) -> float | None:
        """Seconds. A bare number is seconds, as everywhere."""
        if not text:
            return self.empty
        try:
            return seconds(float(text) if text.replace(".", "", 1).isdecimal() else text)
        except DefinitionError as error:
            raise forms.ValidationError(error.sentence) from error


class Memory(Line):
    """`512MiB`; empty is None."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"required": False, "widget": forms.TextInput(attrs={"class": "bb-short"}), **options})

    def written(self, value: Any) -> str:
        """The shortest words."""
        return size_words(int(value))

    def read(self, text: str) -> int | None:
        """Bytes."""
        try:
            return memory_of(text or None, "memory")
        except DefinitionError as error:
            raise forms.ValidationError(error.sentence) from error


class Labels(Line):
    """`tier=1, team=billing`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"required": False, "help_text": "For example tier=1, region=eu", **options})

    def written(self, value: Any) -> str:
        """The labels in a line."""
        return ", ".join(f"{name}={text}" for name, text in value.items())

    def read(self, text: str) -> dict[str, str]:
        """The labels by name."""
        pairs = [part.partition("=") for part in text.split(",") if part.strip()]
        for name, equals, _value in pairs:
            if not equals or not name.strip():
                raise forms.ValidationError(f"expected name=value, parted by commas; got {name.strip()!r}.")
        return {name.strip(): value.strip() for name, _equals, value in pairs}


class Names(Line):
    """`OSError, TimeoutError`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"required": False, **options})

    def written(self, value: Any) -> str:
        """The names in a line."""
        return ", ".join(value)

    def read(self, text: str) -> list[str]:
        """The names."""
        return [part.strip() for part in text.split(",") if part.strip()]


class Json(forms.JSONField):
    """A JSON value; empty stands for an empty list or object."""

    def __init__(self, *, empty: type[list[Any] | dict[str, Any]], **options: Any) -> None:
        self.empty = empty
        widget = forms.Textarea(attrs={"rows": 1, "class": "bb-json", "spellcheck": "false"})
        super().__init__(**{"required": False, "widget": widget, **options})

    def to_python(self, value: Any) -> Any:
        """The value, empty when nothing was written."""
        found = super().to_python(value)
        return self.empty() if found is None else found

    def prepare_value(self, value: Any) -> Any:
        """The JSON text, without secrets; nothing for the empty value."""
        return "" if value in (None, [], {}) else super().prepare_value(masked(value))

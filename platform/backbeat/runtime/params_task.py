"""Parameters of an adopted Celery task: checked as Celery does, carried as Celery's own JSON carries them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from kombu.utils import json as celery_json

from backbeat.errors import BadArguments
from backbeat.runtime.params_hints import HintParams


class TaskParams(HintParams):
    """Number and names of the arguments are checked; a date, Decimal or UUID comes back as one, since kombu marks it in JSON."""

    def _hints(self, function: Callable[..., Any]) -> dict[str, Any]:  # noqa: ARG002 - the task was written without our hints in mind
        return {}

    def _tagged(self, packed: list[Any]) -> list[Any]:
        """Without marks: the task takes its arguments as they come."""
        return packed

    def _pack(self, name: str, where: str, value: Any) -> Any:  # noqa: ARG002 - as HintParams calls it
        if hasattr(value, "model_dump"):
            value = value.model_dump(mode="json")
        try:
            return json.loads(celery_json.dumps(value, allow_nan=False))
        except (TypeError, ValueError, RecursionError) as error:
            raise BadArguments(where, f"expected what Celery's JSON can hold; {error}.") from None

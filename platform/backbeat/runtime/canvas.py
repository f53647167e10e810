"""What comes after a run in Celery's canvas. The message knows it; a run that is sent again must know it too."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from typing import Any

from kombu.utils import json as celery_json

from backbeat.core.message import dumps

_BODY = ("callbacks", "errbacks", "chain", "chord")
_HEADERS = ("group", "group_index", "root_id", "parent_id", "reply_to", "replaced_task_nesting", "stamped_headers", "stamps")


def canvas_in(request: Any) -> str:
    """What a message says of canvas, as JSON text; empty for a task that stands alone."""
    body = {name: value for name in _BODY if (value := getattr(request, name, None))}
    group = getattr(request, "group", None)
    if not body and group is None:
        return ""
    headers = {name: value for name in _HEADERS if (value := getattr(request, name, None))}
    # Celery's own JSON: there may be dates in what is to come.
    return str(celery_json.dumps({"body": body, "headers": headers}))


def with_canvas(message: str, canvas: str) -> str:
    """An envelope that says it again."""
    known, envelope = json.loads(canvas), json.loads(message)
    args, kwargs, embed = json.loads(b64decode(envelope["body"]))
    envelope["body"] = b64encode(dumps([args, kwargs, {**embed, **known["body"]}]).encode()).decode()
    envelope["properties"]["reply_to"] = known["headers"].pop("reply_to", "")
    envelope["headers"] |= known["headers"]
    return dumps(envelope)

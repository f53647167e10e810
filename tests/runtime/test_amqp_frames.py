"""The frames that publish our messages are those that py-amqp would write, byte by byte."""

from __future__ import annotations

import json
from base64 import b64decode
from types import SimpleNamespace
from typing import Any

import amqp
import pytest
from amqp import spec
from amqp.method_framing import frame_writer
from amqp.serialization import dumps

from backbeat.core.message import Outline, arguments_of, envelope, group_envelope
from backbeat.runtime.amqp_frames import frames_of

RUN = "job.pay@2026-11-23T02:00:00Z"
PLAIN = Outline("jobs.pay", "main.p5")
MESSAGES = {
    "fired": envelope(PLAIN, RUN, arguments_of([7, "x"], {"deep": [1.5, None, True]}), slot=3, schedule="job.pay"),
    "submitted": envelope(PLAIN, "jobs.pay:invoice-42", arguments_of([], {}), slot=0),
    "attempted before": envelope(PLAIN, RUN, arguments_of([], {}), slot=15, attempt=4, tag="x4"),
    "not in the ledger": envelope(
        PLAIN, RUN, arguments_of([], {}), slot=None, schedule="job.pay", expires="2026-11-23T02:05:00+00:00"
    ),
    "with limits": envelope(Outline("jobs.pay", "main.p5", 30.0, 25.5, ignore_result=False), RUN, arguments_of([], {}), slot=1),
    "with headers": envelope(
        Outline("jobs.pay", "main.p5", headers='"backbeat_memory":268435456,"x":{"y":[1,"z"]}'), RUN, arguments_of([], {}), slot=1
    ),
    "with a priority": envelope(Outline("jobs.pay", "main", priority=7), RUN, arguments_of([], {}), slot=1),
    "of several runs": group_envelope(PLAIN, [f"jobs.pay:{number}" for number in range(100)], 2, 100),
    "in another script": envelope(
        Outline("jobs.löhne", "übrig.p5"), 'zahlen "ω"\\@x', arguments_of(["ß"], {}), slot=1, schedule='zahlen "ω"\\'
    ),
    "looking like a seam": envelope(
        Outline('jobs."retries":', "main.p5"), '"retries":@x', arguments_of(['"retries":'], {}), slot=1
    ),
    "of three frames": envelope(PLAIN, RUN, arguments_of(["x" * 10_000], {}), slot=1),
    "just filling a frame": envelope(PLAIN, RUN, arguments_of(["x" * 4_005], {}), slot=1),
}
FRAME_MAX = 4_096


def written_by_amqp(text: str, queue: str) -> bytes:
    """What py-amqp's own writer gives to the socket."""
    told: list[bytes] = []
    write = frame_writer(
        SimpleNamespace(frame_max=FRAME_MAX, bytes_sent=0), SimpleNamespace(write=lambda data: told.append(bytes(data)))
    )
    data: dict[str, Any] = json.loads(text)
    properties = data["properties"]
    message = amqp.Message(
        b64decode(data["body"]),
        application_headers=data["headers"],
        content_type=data["content-type"],
        content_encoding=data["content-encoding"],
        correlation_id=properties["correlation_id"],
        reply_to=properties["reply_to"],
        delivery_mode=2,
        **({"priority": properties["priority"]} if properties["priority"] else {}),
    )
    write(1, 9, spec.Basic.Publish, dumps("Bssbb", (0, "", queue, True, False)), message)
    return b"".join(told)


@pytest.mark.parametrize("name", MESSAGES)
def test_frames_are_those_of_py_amqp(name: str) -> None:
    text = MESSAGES[name]
    queue = json.loads(text)["properties"]["delivery_info"]["routing_key"]
    expected = written_by_amqp(text, queue)
    assert frames_of(text, queue, 9, FRAME_MAX) == expected
    assert frames_of(text, queue, 9, FRAME_MAX) == expected, "what is kept of the first changes the second"


def test_what_is_no_envelope_is_refused() -> None:
    with pytest.raises(ValueError, match="Expecting"):
        frames_of("not an envelope", "main.p5", 1, FRAME_MAX)

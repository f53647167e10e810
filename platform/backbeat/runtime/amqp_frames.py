"""An envelope as the bytes that publish it by AMQP 0-9-1, made quickly: most of them are those of the message before.

py-amqp turns every header of every message into bytes, and that and its calls were most of what publishing cost a
process. Here what the messages of a mould share is read and turned into bytes once. py-amqp's own writer stays the
measure: `tests/runtime/test_amqp_frames.py` compares the two, byte by byte.
"""

from __future__ import annotations

import json
from base64 import b64decode
from functools import lru_cache
from struct import pack
from typing import Any

from amqp.serialization import dumps

from backbeat.core.message import SEAM

METHOD, HEADER, BODY, END = 1, 2, 3, b"\xce"
BASIC, PUBLISH = 60, 40
FLAGS, HAS_PRIORITY = 0xF600, 0x0800
"""Content type and encoding, headers, delivery mode, correlation id and reply queue are there; and a priority."""
PERSISTENT = 2
FRAME = 8
"""Bytes around what a frame holds: kind, channel, size, end."""


def frames_of(text: str, queue: str, channel: int, frame_max: int) -> bytes:
    """What publishes an envelope (core/message.py) to a queue, persistent and mandatory.

    `frame_max` is how many bytes the broker takes in a frame. Raises ValueError for what is no envelope.
    """
    common, seam, rest = text.partition(SEAM)
    before, shared = _of_mould(common)
    own = json.loads('{"headers":{' + seam + rest)
    body, properties, most = b64decode(own["body"]), own["properties"], frame_max - FRAME
    headers = shared + dumps("F", (own["headers"],))[4:]
    # Our own queues have no priority: each has a queue of its own there.
    priority = properties["priority"]
    flags = FLAGS | HAS_PRIORITY if priority else FLAGS
    named = dumps("ss", (properties["correlation_id"], properties["reply_to"]))
    header = b"".join(
        (
            pack(">HHQH", BASIC, 0, len(body), flags),
            before,
            pack(">I", len(headers)),
            headers,
            bytes((PERSISTENT, priority) if priority else (PERSISTENT,)),
            named,
        )
    )
    parts = (body[start : start + most] for start in range(0, len(body), most))
    return b"".join((_method(channel, queue), _frame(HEADER, channel, header), *(_frame(BODY, channel, part) for part in parts)))


def _frame(kind: int, channel: int, payload: bytes) -> bytes:
    return pack(">BHI", kind, channel, len(payload)) + payload + END


@lru_cache(maxsize=1024)
def _method(channel: int, queue: str) -> bytes:
    # The default exchange brings a message to the queue that its routing key names; mandatory, not immediate.
    return _frame(METHOD, channel, pack(">HH", BASIC, PUBLISH) + dumps("Bssbb", (0, "", queue, True, False)))


@lru_cache(maxsize=4096)
def _of_mould(common: str) -> tuple[bytes, bytes]:
    """Content type and encoding; and the headers before the seam, as the inside of a table."""
    envelope: dict[str, Any] = json.loads(common.removesuffix(",") + "}}")
    kinds = dumps("ss", (envelope["content-type"], envelope["content-encoding"]))
    return kinds, dumps("F", (envelope["headers"],))[4:]

"""The messages that carry runs: ordinary Celery messages, protocol 2, built as text.

Built by hand because this is the hot path (kombu takes 0.3 to 1.7 ms for what takes microseconds here); the wire format
is Celery's own (docs: "Message Protocol", version 2), so an unmodified worker, Flower and `celery inspect` understand it.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from backbeat.core.secrets import masked_text

ORIGIN = "backbeat"
MEMORY_HEADER = "backbeat_memory"
"""Bytes that the process of the run may take, for the worker's parent: it never sees what only the ledger knows."""
VERSION = 1
"""Of what our own header means. A message of another version says so by `v` in it; a worker leaves newer ones to others."""
SEAM = '"retries":'
"""Where a message's headers go over from those of all runs of a job to those of this one. Inside a text of JSON it can't be."""
_EMBED = b64encode(b'{"callbacks":null,"errbacks":null,"chain":null,"chord":null}]').decode()
_CUT = 1024


# One encoder for all: json.dumps would make a new one for each call with these options, which costs more than the encoding.
_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False)
_quoted: Callable[[str], str] = json.encoder.encode_basestring


def dumps(value: Any) -> str:
    """Compact JSON. NaN and infinities are refused: no other language reads them back."""
    return _ENCODER.encode(value)


@dataclass(frozen=True)
class Outline:
    """What the messages of one job have in common."""

    task: str
    queue: str
    timeout: float | None = None
    soft_timeout: float | None = None
    ignore_result: bool = True
    headers: str = ""
    """More headers, as members of a JSON object: `"x":1,"y":2`."""
    priority: int = 0
    """The broker's own priority, for queues that have any; ours are queues of their own."""


Mould = tuple[str, ...]
"""The seven texts of a message around what differs from run to run: the schedule, the run id four times, the arguments."""


@lru_cache(maxsize=4096)
def mould_of(outline: Outline, slot: int | None, attempt: int = 0, expires: str = "", *, periodic: bool = True) -> Mould:
    """The mould of messages that differ in nothing but schedule, run id and arguments; see `envelope` for the options.

    `fill` and lua/fire.lua put the messages together.
    """
    limits = dumps([outline.timeout, outline.soft_timeout])
    ledger = "" if slot is None else f'"backbeat":{{"slot":{slot}}},'
    more = f"{outline.headers}," if outline.headers else ""
    front = (
        '{"content-encoding":"utf-8","content-type":"application/json","headers":{"lang":"py",'
        f'"task":{dumps(outline.task)},"shadow":null,"eta":null,"expires":{_quoted(expires) if expires else "null"},'
        f'"group":null,"group_index":null,"parent_id":null,"timelimit":{limits},"origin":"{ORIGIN}",'
        f'"ignore_result":{"true" if outline.ignore_result else "false"},"replaced_task_nesting":0,"stamped_headers":null,'
        f'"stamps":{{}},{SEAM}{attempt},{more}{ledger}'
    )
    back = (
        f'{_EMBED}","properties":{{"reply_to":"","delivery_mode":2,"priority":{outline.priority},"body_encoding":"base64",'
        f'"delivery_info":{{"exchange":"","routing_key":{dumps(outline.queue)}}},"correlation_id":"'
    )
    schedule = (f'{front}"periodic_task_name":"', '","id":"') if periodic else (front, '"id":"')
    return *schedule, '","root_id":"', '",', back, '","delivery_tag":"', '"}}'


@lru_cache(maxsize=4096)
def group_mould(outline: Outline, slot: int, size: int) -> Mould:
    """The mould of messages that carry up to `size` runs: their ids, joined by a new line, stand in place of the schedule.

    Celery's own limits, which know nothing of single runs, are those of all of them together.
    """
    hard, soft = (limit and limit * size for limit in (outline.timeout, outline.soft_timeout))
    front, _, *rest = mould_of(replace(outline, timeout=hard, soft_timeout=soft), None)
    return front.removesuffix('"periodic_task_name":"') + f'"backbeat":{{"slot":{slot},"runs":"', '"},"id":"', *rest


def group_id(first: str, count: int) -> str:
    """The id of a message that carries `count` runs, the first of which is `first`; lua/fire.lua writes the same."""
    return f"{first}+{count - 1}"


def group_envelope(outline: Outline, run_ids: Sequence[str], slot: int, size: int) -> str:
    """One message for several runs of one task; their arguments stay in the ledger. `size` is how many there may be at most."""
    quoted = [_quoted(run_id)[1:-1] for run_id in run_ids]
    name = group_id(quoted[0], len(quoted))
    return fill(group_mould(outline, slot, size), "\\n".join(quoted), name, arguments_in(arguments_of((), {})), name)


def group_of(header: Mapping[str, Any] | None) -> list[str]:
    """The runs that a message with this header of ours carries; none for one that is a run's own."""
    runs = (header or {}).get("runs")
    return runs.split("\n") if isinstance(runs, str) else []


def fill(mould: Mould, schedule: str, run: str, arguments: str, tag: str) -> str:
    """One message. `arguments` as `arguments_in` writes them; the names as they stand inside the quotes of JSON."""
    front, before_id, before_root, before_arguments, back, before_tag, end = mould
    return f"{front}{schedule}{before_id}{run}{before_root}{run}{before_arguments}{arguments}{back}{run}{before_tag}{tag}{end}"


def arguments_of(args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """Arguments as the JSON text of `[args, kwargs]` that records and runs keep.

    A tab parts the two: JSON allows it there and never has one inside a value, so the hot path can part them without
    reading them. Raises TypeError or ValueError for what JSON can't hold.
    """
    return f"[{dumps(list(args))},\t{dumps(dict(kwargs))}]"


@lru_cache(maxsize=4096)
def arguments_in(arguments: str) -> str:
    """Arguments as they stand in a message: how tools show them (JSON without secrets, quoted), and the body up to their end."""
    args, kwargs = masked_text(arguments)[1:-1].split("\t")
    data = arguments[:-1].encode()
    # Blanks that JSON allows make the length a multiple of three, so that base64 can go on with what all bodies share.
    body = b64encode(data + b" " * (-(len(data) + 1) % 3) + b",").decode()
    return f'"argsrepr":{_quoted(args[:-1][:_CUT])},"kwargsrepr":{_quoted(kwargs[:_CUT])}}},"body":"{body}'


def envelope(
    outline: Outline,
    run_id: str,
    arguments: str,
    *,
    slot: int | None,
    attempt: int = 0,
    tag: str = "",
    schedule: str = "",
    expires: str = "",
) -> str:
    """One message as kombu's Redis transport stores it.

    `attempt` is the number of attempts made so far (Celery's `retries`); `tag` must differ between two messages of one
    run, because the transport keeps unacknowledged messages by it; `schedule` is sent as `periodic_task_name`, the
    header that django-celery-beat sends. Without a `slot` the ledger does not know the run: any worker may run it,
    and it may start until `expires` (ISO date) by that worker's clock.
    """
    run, name = _quoted(run_id)[1:-1], _quoted(schedule)[1:-1]
    mould = mould_of(outline, slot, attempt, expires, periodic=bool(schedule))
    return fill(mould, name, run, arguments_in(arguments), _quoted(tag)[1:-1] if tag else run)

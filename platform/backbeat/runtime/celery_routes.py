"""Where Celery would send the message of a schedule entry, told before it is due: the name of one queue."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from celery.exceptions import QueueNotFound

from backbeat.core.celery_options import Options
from backbeat.core.message import dumps
from backbeat.core.template import Sending
from backbeat.errors import DefinitionError
from backbeat.runtime.app_defaults import is_redis

_OURS = re.compile(r"^(?P<pool>.+)\.p[0-9]$")
_ROUTING = ("queue", "exchange", "routing_key")
# What the message says of itself; an entry's own headers come beside, never instead.
_TAKEN = frozenset(
    {
        "lang", "task", "id", "shadow", "eta", "expires", "group", "group_index", "parent_id", "root_id", "retries", "timelimit",
        "origin", "ignore_result", "argsrepr", "kwargsrepr", "stamps", "stamped_headers", "replaced_task_nesting", "backbeat",
        "periodic_task_name",
    }
)  # fmt: skip


class Routes:
    """The routing of one Celery app, asked as `apply_async` asks it."""

    def __init__(self, app: Any, *, ours: bool) -> None:
        self._app = app
        self._ours = ours
        """Whether the app's workers know our queues, in which each priority has one of its own."""

    def sending(self, task: str, args: Sequence[Any], kwargs: Mapping[str, Any], options: Options) -> Sending:
        """How messages of this task are sent. Raises DefinitionError when they would not go to exactly one known queue."""
        known = self._app.tasks.get(task)
        own: Mapping[str, Any] = {} if known is None else known._get_exec_options()  # noqa: SLF001 - as Task.apply_async does
        asked = {name: getattr(options, name) for name in _ROUTING}
        given = {name: value for name in _ROUTING if (value := own.get(name) if asked[name] is None else asked[name]) is not None}
        priority = options.priority if options.priority is not None else own.get("priority")
        queue = self._queue(given, task, args, kwargs, known)
        headers = {"celery_beat_task": True, **options.headers}
        members = dumps({name: value for name, value in headers.items() if name not in _TAKEN})[1:-1]
        results = not (options.ignore_result or getattr(known, "ignore_result", False))
        if self._ours and (found := _OURS.match(queue)) and priority is not None:
            return Sending(f"{found['pool']}.p{min(priority, 9)}", "", members, 0, results)
        return Sending(queue, self._lane(priority), members, priority or 0, results)

    def _queue(self, given: dict[str, Any], task: str, args: Any, kwargs: Any, known: Any) -> str:
        try:
            route = self._app.amqp.router.route(given, task, args, kwargs, known)
        except QueueNotFound as error:
            raise DefinitionError("options", f"{error}. Add it there, or name another queue.") from error
        queue, exchange, key = route.get("queue"), _name(route.get("exchange")), route.get("routing_key")
        if exchange is None and key is None:
            return str(queue.name)
        # Celery fills in what is missing from the queue that it would have taken otherwise.
        exchange = queue.exchange.name if exchange is None else exchange
        key = queue.routing_key if key is None else key
        reached = [key] if not exchange else sorted(set(self._reached(exchange, key)))
        if len(reached) != 1:
            where = ", ".join(reached) or "no queue"
            raise DefinitionError(
                "options",
                f"expected exchange {exchange!r} with routing key {key!r} to reach one queue of this app; it reaches {where}."
                " Name a queue instead, or one entry for each.",
            )
        return str(reached[0])

    def _reached(self, exchange: str, key: str) -> Iterator[str]:
        for queue in list(self._app.amqp.queues.values()):
            for binding in queue.bindings or [queue]:
                if binding.exchange is not None and binding.exchange.name == exchange and _matches(binding, key):
                    yield queue.name

    def _lane(self, priority: int | None) -> str:
        """kombu on Redis keeps a list for each step of priorities; the first is called like the queue."""
        if not priority or not is_redis(self._app.conf.broker_url):
            return ""
        options = self._app.conf.broker_transport_options or {}
        steps = sorted(options.get("priority_steps") or (0, 3, 6, 9))
        step = steps[max(0, bisect_right(steps, min(priority, 9)) - 1)]
        return f"{options.get('sep') or chr(6) + chr(22)}{step}" if step else ""


def _matches(binding: Any, key: str) -> bool:
    kind = binding.exchange.type
    if kind == "topic":
        words = {"*": "[^.]+", "#": ".*"}
        parts = [words.get(word, re.escape(word)) for word in str(binding.routing_key).split(".")]
        # `a.#` matches `a` alone as well.
        return re.fullmatch(r"\.".join(parts).replace(r"\..*", r"(\..*)?"), key) is not None
    return bool(kind == "fanout" or binding.routing_key == key)


def _name(exchange: Any) -> str | None:
    """An exchange by its name; "" is the broker's own, which leads to the queue of the routing key's name."""
    name: str | None = getattr(exchange, "name", exchange)
    return name

"""Celery settings on which Backbeat's promises rest. Each was tried on a real worker; the reason stands beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from celery.app.utils import Settings as CelerySettings

from backbeat.conf import Settings, is_cluster, kombu_url

MERGED = ("broker_transport_options", "redbeat_redis_options")
"""Settings that are tables: the user's entries are laid over ours one by one."""


def defaults(conf: Settings) -> dict[str, Any]:
    """Celery settings for this deployment, below whatever the user sets."""
    redis_broker = is_redis(conf.broker_url)
    return {
        "broker_url": conf.broker_url,
        "broker_connection_retry_on_startup": True,
        # RabbitMQ closes the channel of a run that outlasts consumer_timeout; without this the whole worker stops.
        "broker_channel_error_retry": True,
        "broker_transport_options": _redis_transport() if redis_broker else {"confirm_publish": True, "confirm_timeout": 10},
        "result_backend": _results(conf),
        # Results serve `.get()` and canvas; history is in the database, so they need not fill Redis.
        "result_expires": 3600,
        **_redbeat(conf),
        "beat_scheduler": "backbeat.Scheduler",
        "timezone": "UTC",
        "enable_utc": True,
        "task_default_queue": "default.p5",
        "task_create_missing_queues": True,
        "task_create_missing_queue_type": "classic" if redis_broker else "quorum",
        "task_default_queue_type": "classic" if redis_broker else "quorum",
        "task_routes": ("backbeat.runtime.app.route",),
        # The message stays until the run has ended; the ledger refuses a second start, so a late ack doubles nothing.
        "task_acks_late": True,
        "task_acks_on_failure": True,
        "task_acks_on_timeout": True,
        "task_reject_on_worker_lost": False,
        "task_retry_on_worker_lost": False,
        "task_track_started": True,
        "task_send_sent_event": True,
        "worker_send_task_events": True,
        # One message at a time: a prefetched message waits behind a long run while another worker is idle.
        "worker_prefetch_multiplier": 1,
        "worker_consumer": "backbeat.runtime.consumer:JobConsumer",
        # What a worker that shall end has not finished within so many seconds is given back, at once and to whoever is
        # free. With the three seconds that stubborn code gets, less than the ten after which Docker kills.
        "worker_soft_shutdown_timeout": 6.0,
        # A reconnect redelivers the message of a run that goes on; its lease lives, so the copy is refused and dropped.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
    }


def _results(conf: Settings) -> str:
    """Where results for `.get()` go. Celery can't keep them in a cluster."""
    if not is_cluster(conf.redis_url):
        return kombu_url(conf.redis_url)
    return conf.broker_url if is_redis(conf.broker_url) else "disabled://"


def _redbeat(conf: Settings) -> dict[str, Any]:
    """Where RedBeat's own entries lie. In a cluster its transactions need names that share a slot."""
    if not is_cluster(conf.redis_url):
        return {"redbeat_redis_url": conf.redis_url, "redbeat_redis_options": {}}
    scheme, _, hosts = conf.redis_url.partition("+cluster://")
    return {
        "redbeat_redis_url": f"{scheme}://{hosts.partition(',')[0]}",
        "redbeat_redis_options": {"cluster": True, "decode_responses": True},
        "redbeat_key_prefix": "{redbeat}:",
    }


def is_redis(broker_url: str) -> bool:
    """Whether queues live in Redis."""
    return broker_url.startswith(("redis", "sentinel"))


def _redis_transport() -> dict[str, Any]:
    return {
        # kombu folds priorities into four lists of one queue; ours are queues of their own, so one list each.
        "priority_steps": [0],
        # Look at the queues strictly in the order of -Q, most urgent first, instead of in turn.
        "queue_order_strategy": "priority",
        # After this long without a renewal a fetched message is given to another worker, looked for every two seconds.
        "visibility_timeout": 60,
        "unacked_restore_interval": 2,
        "unacked_restore_throttle": 1,
        # Longer than the one second for which kombu blocks; without it a dead connection blocks for ever.
        "socket_timeout": 10,
        "socket_keepalive": True,
        "health_check_interval": 10,
    }


_REQUIRED: tuple[tuple[str, tuple[Any, ...], str], ...] = (
    ("enable_utc", (True,), "times would mean something else on each machine"),
    ("task_acks_late", (True,), "a worker that dies would take its message along"),
    (
        "task_acks_on_failure",
        (True, None),
        "a failed run would be dropped or dead-lettered instead of retried by its job's policy",
    ),
    ("task_acks_on_timeout", (True, None), "a run that times out would come back for ever"),
    ("task_acks_on_failure_or_timeout", (True, None), "a run that times out would come back for ever"),
    ("task_reject_on_worker_lost", (False, None), "a job that kills its worker would come back for ever"),
    ("task_protocol", (2,), "workers and the scheduler would write different messages"),
    ("task_serializer", ("json",), "arguments could be neither stored nor shown"),
)


def broken_promises(celery: CelerySettings, conf: Settings) -> Iterator[str]:
    """A sentence for each Celery setting that would break a promise."""
    for name, allowed, why in _REQUIRED:
        if (got := celery.get(name)) not in allowed:
            yield f"{name}: expected {allowed[0]!r}, since otherwise {why}; got {got!r}. Take it out of the Celery settings."
    if "json" not in celery.get("accept_content", ()):
        yield f"accept_content: expected 'json' among them; got {celery.get('accept_content')!r}."
    # Under a prefix such as CELERY_ today's names look like the old ones.
    if (old := celery.get("deprecated_settings")) and not celery.prefix:
        yield f"{', '.join(sorted(old))}: names of Celery 3. Write them as Celery does now; `celery upgrade settings FILE` helps."
    for name in ("broker_url", "broker_read_url", "broker_write_url"):
        if getattr(celery, name) != conf.broker_url:
            yield f"{name}: Celery and BROKER_URL name different brokers. Set BROKER_URL alone; every process reads it."
    yield from _broken_transport(celery.get("broker_transport_options", {}), conf)


def _broken_transport(options: Mapping[str, Any], conf: Settings) -> Iterator[str]:
    if not is_redis(conf.broker_url):
        return
    if list(options.get("priority_steps", ())) != [0]:
        yield "broker_transport_options: expected priority_steps [0], since priorities are queues here; take it out."
    if options.get("global_keyprefix"):
        yield "broker_transport_options: global_keyprefix would hide queues from the scheduler; use a database of its own."

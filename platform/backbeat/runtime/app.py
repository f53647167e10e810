"""The Celery app: `app = Backbeat("webadmin")` is a Celery app whose defaults keep Backbeat's promises."""

from __future__ import annotations

import logging
import sys
from collections import ChainMap
from collections.abc import Mapping, MutableMapping
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from celery import Celery, signals
from celery.loaders.app import AppLoader

from backbeat.conf import settings
from backbeat.core.priority import queue_of
from backbeat.errors import ConfigurationError
from backbeat.runtime import registry
from backbeat.runtime.app_defaults import MERGED, broken_promises, defaults
from backbeat.runtime.binding import bind_published
from backbeat.runtime.heartbeat import HeartbeatStep
from backbeat.runtime.kombu_redis import careful
from backbeat.runtime.worker_signs import LoopStep

logger = logging.getLogger(__name__)


class Loader(AppLoader):  # type: ignore[misc] # Celery has no types
    """Imports the modules of `imports` one by one, so that a broken one is named and the others still load."""

    def import_default_modules(self) -> list[ModuleType]:
        """What Celery does, and every module below, except that a module may fail."""
        for _, answer in signals.import_modules.send(sender=self.app):
            if isinstance(answer, Exception):
                raise answer
        names = sorted(self.default_modules)
        for failure in registry.load(names):
            logger.error("%s; the other modules are loaded", failure)
        return [sys.modules[name] for name in names if name in sys.modules]


class Backbeat(Celery):  # type: ignore[misc] # Celery has no types
    """A Celery app for jobs. Settings come from the module `celeryconfig` when there is one, and win over our defaults.

    Raises ConfigurationError, when the configuration is first used, for settings that would break a promise.
    """

    amqp_cls = "backbeat.runtime.queues:JobAMQP"
    task_cls = "backbeat.runtime.task:JobTask"

    def __init__(self, main: str | None = None, **options: Any) -> None:
        # As text: the Django fixup, which runs next, looks at the name.
        options.setdefault("loader", "backbeat.runtime.app:Loader")
        bind_published()
        super().__init__(main, **options)
        self.steps["worker"].add(HeartbeatStep)
        self.steps["consumer"].add(LoopStep)
        if options.get("config_source") is None and find_spec("celeryconfig") is not None:
            self.config_from_object("celeryconfig")

    def prepare_config(self, c: MutableMapping[str, Any] | None) -> Mapping[str, Any]:
        """Lay the user's settings over our defaults. Celery's own `add_defaults` would lay ours over the user's."""
        return ChainMap({} if c is None else c, defaults(settings()))

    def connection_for_write(self, url: str | None = None, **options: Any) -> Any:
        """Celery's, on Redis with our transport, which does not make a client for each message."""
        return careful(super().connection_for_write(url, **options))

    def _load_config(self) -> Any:
        before = dict(self._conf.__dict__)
        conf: Any = super()._load_config()
        ours = defaults(settings())
        conf.update({key: {**ours[key], **(conf.get(key) or {})} for key in MERGED})
        if broken := list(broken_promises(conf, settings())):
            # Celery takes a configuration that was read once as read: without this the second look would find it fine.
            self._conf.__dict__.update(before)
            self.configured = False
            raise ConfigurationError("\n".join(broken))
        return conf


def route(name: str, *_args: Any, **_options: Any) -> dict[str, str] | None:
    """Where a task of this name goes when its sender did not say: to the job's own pool and priority."""
    job = registry.jobs.get(name)
    return None if job is None else {"queue": queue_of(job.spec.pool, job.spec.priority)}

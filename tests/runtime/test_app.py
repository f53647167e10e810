"""The app's defaults keep the promises; what a user sets wins, unless it would break one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery.app.utils import Settings as CelerySettings

from backbeat import Backbeat, conf, job
from backbeat.errors import ConfigurationError
from backbeat.runtime import registry
from tests.support.jobs import no_jobs
from tests.support.servers import RedisServer

__all__ = ["no_jobs"]

REDIS = "redis://127.0.0.1:1/0"


@pytest.fixture
def make() -> Iterator[Callable[..., CelerySettings]]:
    """The Celery settings of an app with these of the user's, on this broker."""

    def build(broker: str = REDIS, **user: Any) -> CelerySettings:
        with conf.override(redis_url=REDIS, broker_url=broker):
            app = Backbeat("tests", set_as_current=False, config_source=user)
            app.conf["timezone"]  # reads them
            return app.conf

    return build


def test_defaults_on_redis(make: Callable[..., Any]):
    settings = make()

    assert settings.broker_url == settings.result_backend == settings.redbeat_redis_url == REDIS
    assert settings.task_acks_late is True
    assert settings.worker_prefetch_multiplier == 1
    assert settings.task_default_queue == "default.p5"
    assert settings.beat_scheduler == "backbeat.Scheduler"
    assert settings.broker_transport_options["priority_steps"] == [0]
    assert settings.broker_transport_options["queue_order_strategy"] == "priority"


def test_defaults_on_rabbitmq(make: Callable[..., Any]):
    settings = make("amqp://guest@127.0.0.1:1//")

    assert settings.broker_transport_options["confirm_publish"] is True
    assert settings.broker_channel_error_retry is True
    assert settings.task_create_missing_queue_type == "quorum"


def test_what_the_user_sets_wins(make: Callable[..., Any]):
    settings = make(worker_prefetch_multiplier=4, timezone="Europe/Berlin", result_expires=60)

    assert settings.worker_prefetch_multiplier == 4
    assert settings.timezone == "Europe/Berlin"
    assert settings.result_expires == 60


def test_transport_options_are_laid_over_ours_one_by_one(make: Callable[..., Any]):
    options = make(broker_transport_options={"visibility_timeout": 300}).broker_transport_options

    assert options["visibility_timeout"] == 300
    assert options["priority_steps"] == [0]


def test_settings_with_a_prefix_in_an_object_win_too():
    class DjangoSettings:
        CELERY_TIMEZONE = "Europe/Berlin"
        CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 300}
        DEBUG = False

    with conf.override(redis_url=REDIS, broker_url=REDIS):
        app = Backbeat("tests", set_as_current=False, config_source=DjangoSettings, namespace="CELERY")

        assert app.conf.timezone == "Europe/Berlin"
        assert app.conf.broker_transport_options["visibility_timeout"] == 300
        assert app.conf.broker_transport_options["priority_steps"] == [0]
        assert app.conf.task_acks_late is True


def test_the_upper_case_names_of_old_celery_are_refused():
    with conf.override(redis_url=REDIS, broker_url=REDIS):
        app = Backbeat("tests", set_as_current=False, config_source={"CELERY_ACKS_LATE": False})

        with pytest.raises(ConfigurationError, match="CELERY_ACKS_LATE: names of Celery 3"):
            app.conf["timezone"]


@pytest.mark.parametrize(
    ("user", "sentence"),
    [
        (
            {"task_acks_late": False},
            "task_acks_late: expected True, since otherwise a worker that dies would take its message along",
        ),
        (
            {"task_acks_on_timeout": False},
            "task_acks_on_timeout: expected True, since otherwise a run that times out would come back",
        ),
        ({"task_reject_on_worker_lost": True}, "task_reject_on_worker_lost: expected False"),
        ({"enable_utc": False}, "enable_utc: expected True"),
        ({"task_serializer": "pickle"}, "task_serializer: expected 'json'"),
        ({"task_protocol": 1}, "task_protocol: expected 2"),
        ({"accept_content": ["pickle"]}, "accept_content: expected 'json' among them"),
        ({"broker_url": "redis://elsewhere/0"}, "broker_url: Celery and BROKER_URL name different brokers"),
        ({"broker_transport_options": {"priority_steps": [0, 5]}}, "broker_transport_options: expected priority_steps [0]"),
        ({"broker_transport_options": {"global_keyprefix": "x"}}, "broker_transport_options: global_keyprefix would hide queues"),
    ],
)
def test_a_setting_that_would_break_a_promise_is_refused(make: Callable[..., Any], user: dict[str, Any], sentence: str):
    with pytest.raises(ConfigurationError) as refusal:
        make(**user)

    assert str(refusal.value).startswith(sentence)


def test_a_refused_configuration_is_refused_again_at_the_second_look():
    with conf.override(redis_url=REDIS, broker_url=REDIS):
        app = Backbeat("tests", set_as_current=False, config_source={"task_acks_late": False})

        for _ in range(2):
            with pytest.raises(ConfigurationError):
                app.conf["timezone"]


def test_all_broken_promises_are_told_at_once(make: Callable[..., Any]):
    with pytest.raises(ConfigurationError) as refusal:
        make(task_acks_late=False, task_protocol=1)

    assert len(str(refusal.value).splitlines()) == 2


@pytest.mark.usefixtures("no_jobs")
def test_a_broken_module_is_logged_with_its_line_and_the_others_load(tmp_path: Path, monkeypatch, caplog):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "celeryconfig.py").write_text('imports = ("shop",)\n')
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "__init__.py").touch()
    (tmp_path / "shop" / "good.py").write_text("from backbeat import job\n\n@job\ndef sell() -> None: ...\n")
    (tmp_path / "shop" / "bad.py").write_text("import no_such_thing\n")
    monkeypatch.delitem(sys.modules, "celeryconfig", raising=False)
    # With a Django project named, Celery puts the current folder in front, and with it this checkout's own celeryconfig.
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)

    with conf.override(redis_url=REDIS, broker_url=REDIS):
        app = Backbeat("tests", set_as_current=False)
        app.loader.import_default_modules()

    assert set(registry.jobs) == {"shop.good.sell"}
    assert f"{tmp_path}/shop/bad.py:1: shop.bad could not be imported: ModuleNotFoundError" in caplog.text
    for name in [name for name in sys.modules if name.partition(".")[0] in ("shop", "celeryconfig")]:
        del sys.modules[name]


@pytest.mark.usefixtures("no_jobs")
def test_a_task_that_is_no_job_goes_to_the_default_queue():
    @job("shop.sell", pool="shop", priority="high")
    def sell() -> None: ...

    with conf.override(redis_url=REDIS, broker_url=REDIS):
        app = Backbeat("tests", set_as_current=False, config_source={"imports": ()})

        assert app.amqp.router.route({}, "shop.sell")["queue"].name == "shop.p8"
        assert app.amqp.router.route({}, "elsewhere.work")["queue"].name == "default.p5"


@pytest.mark.redis
def test_a_space_in_the_path_of_the_socket_is_no_obstacle(tmp_path: Path, redis_server: RedisServer):
    home = tmp_path / "my jobs" / ".backbeat"
    home.mkdir(parents=True)
    (home / "redis.sock").symlink_to(redis_server.socket)
    found = conf.Settings.load({"BACKBEAT_HOME": str(home)})

    with conf.override(redis_url=found.redis_url, broker_url=found.broker_url):
        app = Backbeat("tests", set_as_current=False, config_source={"imports": ()})
        app.send_task("no.such.task", queue="spaced.p5")
        app.backend.set("spaced", b"yes")

        with redis_server.client() as client:
            assert client.llen("spaced.p5") == 1
            assert client.get("spaced") == "yes"
            client.delete("spaced.p5", "spaced")
        app.close()

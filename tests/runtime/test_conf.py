"""Settings come whole from the environment, or not at all."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import pytest

from backbeat import conf
from backbeat.conf import Settings, kombu_url, same_server
from backbeat.errors import ConfigurationError


def test_an_empty_environment_is_an_embedded_deployment_below_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    settings = Settings.load({})

    assert settings.home == tmp_path / ".backbeat"
    assert settings.redis_url == f"unix://{tmp_path}/.backbeat/redis.sock?db=0"
    assert settings.broker_url == f"redis+socket://{tmp_path}/.backbeat/redis.sock?virtual_host=0"
    assert settings.database_url == f"sqlite:///{tmp_path}/.backbeat/db.sqlite3"
    assert (settings.prefix, settings.shards, settings.scheduler_lease, settings.run_lease) == ("bb", 16, 3.0, 12.0)


def test_a_space_in_the_path_is_written_as_urls_want_it():
    settings = Settings.load({"BACKBEAT_HOME": "/srv/my jobs/.backbeat"})

    assert settings.redis_url == "unix:///srv/my%20jobs/.backbeat/redis.sock?db=0"
    assert same_server(settings.broker_url, settings.redis_url)


def test_the_broker_follows_redis_until_it_is_named():
    alone = Settings.load({"REDIS_URL": "redis://:pw@cache:6380/4"})
    apart = Settings.load({"REDIS_URL": "redis://cache:6380/4", "BROKER_URL": "amqp://guest@rabbit//"})

    assert alone.broker_url == "redis://:pw@cache:6380/4"
    assert apart.broker_url == "amqp://guest@rabbit//"


def test_a_cluster_needs_a_broker_beside_it():
    cluster = "redis+cluster://user:pw@one:7000,two:7001"

    apart = Settings.load({"REDIS_URL": cluster, "BROKER_URL": "amqp://guest@rabbit//"})

    assert (apart.redis_url, same_server(apart.broker_url, apart.redis_url)) == (cluster, False)
    with pytest.raises(ConfigurationError, match="BROKER_URL: expected the broker's address"):
        Settings.load({"REDIS_URL": cluster})


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("redis+cluster://one:7000,two:seven", "expected a port number"),
        ("redis+cluster://one:7000/3", "a cluster has no other"),
    ],
)
def test_an_address_of_a_cluster_that_makes_no_sense_is_refused(url: str, why: str):
    with pytest.raises(ConfigurationError, match=why):
        Settings.load({"REDIS_URL": url, "BROKER_URL": "amqp://guest@rabbit//"})


def test_durations_and_sizes_are_written_as_people_do():
    settings = Settings.load(
        {
            "BACKBEAT_RUN_LEASE": "30s",
            "BACKBEAT_REQUEUE_AFTER": "120",
            "BACKBEAT_KEY_RETENTION": "2d",
            "BACKBEAT_RESULT_LIMIT": "1MiB",
        }
    )

    assert settings.run_lease == 30
    assert settings.heartbeat == 10
    assert settings.requeue_after == 120
    assert settings.key_retention == 172800
    assert settings.result_limit == 1024 * 1024


def test_every_mistake_is_told_at_once():
    with pytest.raises(ConfigurationError) as refusal:
        Settings.load(
            {
                "REDIS_URL": "http://cache",
                "BACKBEAT_SHARDS": "0",
                "BACKBEAT_SHRADS": "16",
                "BACKBEAT_PREFIX": "a b",
                "BACKBEAT_RUN_LEASE": "soon",
            }
        )

    message = str(refusal.value)
    assert len(message.splitlines()) == 5
    assert (
        "REDIS_URL: expected a URL that starts with one of redis, rediss, unix, redis+cluster, rediss+cluster; got http://cache."
        in message
    )
    assert "BACKBEAT_SHARDS: expected a whole number from 1 to 1024; got '0'." in message
    assert "BACKBEAT_SHRADS: no such setting. Did you mean 'BACKBEAT_SHARDS'?" in message
    assert "BACKBEAT_RUN_LEASE: expected a duration such as '90s'" in message


def test_a_password_is_not_repeated_in_a_message():
    with pytest.raises(ConfigurationError) as refusal:
        Settings.load({"BROKER_URL": "ampq://user:secret@rabbit//"})

    assert "secret" not in str(refusal.value)
    assert "Did you mean 'amqp'?" in str(refusal.value)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("redis://cache:port/0", "expected a port number after the host; got redis://cache:port/0."),
        (
            "redis://:pw@cache/jobs",
            "expected the number of a database after the host, as in redis://host:6379/0; got redis://***@cache/jobs.",
        ),
        ("unix://", "expected the path of a socket, as in unix:///run/redis.sock; got unix://."),
    ],
)
def test_an_address_that_no_client_could_use_is_refused(url: str, sentence: str):
    with pytest.raises(ConfigurationError) as refusal:
        Settings.load({"REDIS_URL": url})

    assert str(refusal.value) == f"REDIS_URL: {sentence}"


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({"BACKBEAT_RUN_LEASE": "1s"}, "BACKBEAT_RUN_LEASE"),
        ({"BACKBEAT_SCHEDULER_LEASE": "100ms"}, "BACKBEAT_SCHEDULER_LEASE"),
        ({"BACKBEAT_REQUEUE_AFTER": "5s"}, "BACKBEAT_REQUEUE_AFTER"),
    ],
)
def test_figures_that_would_lose_runs_are_refused(environment: dict[str, str], name: str):
    with pytest.raises(ConfigurationError, match=name):
        Settings.load(environment)


def test_settings_are_frozen():
    with pytest.raises(FrozenInstanceError):
        Settings.load({}).shards = 4  # type: ignore[misc] # what is tested


def test_every_setting_can_be_set():
    assert {attribute for attribute, _ in conf.VARIABLES.values()} == {field.name for field in fields(Settings)}, (
        "Give the new setting a row in conf.VARIABLES."
    )


def test_an_override_ends_with_its_block():
    before = conf.settings()

    with conf.override(shards=4, home=Path("/elsewhere")) as during:
        assert conf.settings() is during
        assert conf.settings().shards == 4

    assert conf.settings() is before


@pytest.mark.parametrize(
    ("broker", "redis", "same"),
    [
        ("redis://localhost/0", "redis://127.0.0.1:6379", True),
        ("redis://cache:6379/1", "redis://cache/1", True),
        ("redis://cache/1", "redis://cache/2", False),
        ("redis://cache:6380/1", "redis://cache/1", False),
        ("redis://one/0", "redis://two/0", False),
        ("redis+socket:///run/r.sock?virtual_host=2", "unix:///run/r.sock?db=2", True),
        ("redis+socket:///run/r.sock?virtual_host=0", "unix:///run/r.sock", True),
        ("redis+socket:///run/r.sock?virtual_host=1", "unix:///run/r.sock", False),
        ("redis+socket:///run/a%20b/r.sock", "unix:///run/a b/r.sock", True),
        ("redis+socket:///run/r.sock", "redis://localhost", False),
        ("amqp://guest@localhost//", "redis://localhost", False),
        ("sentinel://one:26379;sentinel://two:26379", "redis://one", False),
        ("redis://one/0;redis://two/0", "redis://one/0", False),
    ],
)
def test_a_script_pushes_to_queues_only_in_the_ledgers_own_database(broker: str, redis: str, same: Any):
    assert same_server(broker, redis) is same


def test_kombus_spelling_keeps_socket_database_and_user():
    assert kombu_url("unix:///run/r.sock?db=3") == "redis+socket:///run/r.sock?virtual_host=3"
    assert kombu_url("unix://user:pw@/run/r.sock") == "redis+socket://user:pw@/run/r.sock?virtual_host=0"
    assert kombu_url("rediss://cache/1") == "rediss://cache/1"

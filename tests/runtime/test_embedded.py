"""The embedded server: private, persistent, re-used when alive, replaced when dead."""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from kombu import Connection

from backbeat.errors import ConfigurationError
from backbeat.runtime import embedded
from tests.support.eventually import eventually

pytestmark = pytest.mark.redis


@pytest.fixture
def home(server_folder: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    # A space in the path: people clone into "My Projects".
    home = server_folder / f"my state {abs(hash(request.node.name)) % 10_000}"
    yield home
    if (home / "redis").exists():
        embedded.start(home).stop()


def test_it_answers_ledger_and_broker_on_a_private_socket(home: Path) -> None:
    server = embedded.start(home)

    with server.client() as client, Connection(server.broker_url) as broker:
        client.set("shared", "yes")
        assert broker.default_channel.client.get("shared") == b"yes"
    assert stat.S_IMODE(server.socket.stat().st_mode) == 0o700
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


def test_a_second_start_takes_over_the_one_that_runs(home: Path) -> None:
    first = embedded.start(home)

    second = embedded.start(home)

    assert (second.pid, second.started) == (first.pid, False)


def test_it_keeps_its_data_over_a_clean_stop(home: Path) -> None:
    first = embedded.start(home)
    with first.client() as client:
        client.set("kept", "yes")

    assert first.stop()

    with embedded.start(home).client() as client:
        assert client.get("kept") == b"yes"


def test_the_socket_of_a_killed_server_does_not_stop_the_next(home: Path) -> None:
    first = embedded.start(home)
    os.kill(first.pid, signal.SIGKILL)
    eventually(lambda: not embedded.is_alive(first.pid))
    assert first.socket.exists()

    second = embedded.start(home)

    assert second.started
    assert second.pid != first.pid


def test_a_long_path_gets_a_short_socket_that_is_remembered(home: Path) -> None:
    deep = home / ("long" * 30)

    first = embedded.start(deep)
    second = embedded.start(deep)

    assert len(os.fsencode(first.socket)) <= embedded.LONGEST_SOCKET
    assert stat.S_IMODE(first.socket.parent.stat().st_mode) == 0o700
    assert (second.pid, second.socket) == (first.pid, first.socket)
    assert first.stop()
    first.socket.parent.rmdir()


def test_a_program_that_is_no_server_is_refused_with_its_log(home: Path) -> None:
    with pytest.raises(ConfigurationError, match="did not start"):
        embedded.start(home, Path("/bin/false"))


def test_a_named_program_is_taken_and_a_missing_one_refused() -> None:
    assert embedded.chosen_server(None) == embedded.bundled_server()
    assert embedded.chosen_server(str(embedded.bundled_server())) == embedded.bundled_server()
    with pytest.raises(ConfigurationError, match="expected a server program"):
        embedded.chosen_server("/no/such/server")


def test_the_word_path_looks_on_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "redis-server").symlink_to(embedded.bundled_server())
    monkeypatch.setenv("PATH", str(tmp_path))

    assert embedded.chosen_server("path") == tmp_path / "redis-server"

    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigurationError, match="Install one, or leave the variable out"):
        embedded.chosen_server("path")

"""Large outputs of nodes: kept in a folder or behind a URL, read back, and gone with their DAG run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import fsspec
import pytest
import redis

from backbeat.conf import override
from backbeat.errors import GraphError
from backbeat.runtime import dag_keeper, payloads
from backbeat.runtime.dag_keeper import DagKeeper
from backbeat.store.slots import Slots
from backbeat.store.store import Store
from tests.core.graphs import of
from tests.store.graph_runs import RUN, run_all, start

VALUE = {"rows": ["ü" * 100] * 50}
DAY = 86_400.0


@pytest.fixture(params=["folder", "file", "memory"])
def root(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A place of each kind, empty."""
    path = tmp_path / "kept" / "outputs"
    where = {"folder": str(path), "file": f"file://{path}", "memory": "memory://outputs"}[request.param]
    monkeypatch.setenv("BACKBEAT_OUTPUTS", where)
    with override(home=tmp_path, key_retention=DAY):
        yield where
    if request.param == "memory" and fsspec.filesystem("memory").exists("/outputs"):
        fsspec.filesystem("memory").rm("/outputs", recursive=True)


def files(root: str) -> list[str]:
    """Everything that lies in a place, by name."""
    found, path = fsspec.core.url_to_fs(root)
    return sorted(name.rpartition("/")[2] for name in found.find(path))


def test_a_small_output_is_its_own_text(root: str) -> None:
    assert payloads.keep("g:1", [1, 2], 100) == "[1,2]"


def test_a_large_output_comes_back_from_its_address(root: str) -> None:
    kept = payloads.keep("g:1", VALUE, 100)

    assert kept.startswith(f"@{root}/")
    assert payloads.load(kept[1:]) == VALUE
    assert payloads.keep("g:1", VALUE, 100) == kept, "the same result of a second try lies in the same place"
    assert len(files(root)) == 2


def test_a_lost_output_and_a_damaged_one_are_told_with_the_cure(root: str) -> None:
    address = payloads.keep("g:1", VALUE, 100)[1:]

    with fsspec.open(address, "wb") as file:
        file.write(b'{"ro')
    with pytest.raises(GraphError, match=r"an output that was kept at .*\.json is damaged: .* Run its node again"):
        payloads.load(address)
    found, path = fsspec.core.url_to_fs(address)
    found.rm(path)
    with pytest.raises(GraphError, match=r"kept at .*\.json can't be read: .* Every worker must reach the place"):
        payloads.load(address)


def test_outputs_go_when_their_dag_run_is_not_kept_any_more(root: str) -> None:
    for run in ("gone:1", "kept:1"):
        payloads.keep(run, VALUE, 100)
    now = time.time()

    assert payloads.sweep(lambda _: False, now) == 0, "what is younger than the retention stays in any case"
    assert payloads.sweep(lambda run: run == "kept:1", now + 2 * DAY) == 1
    assert len(files(root)) == 2
    assert payloads.sweep(lambda _: False, now + 2 * DAY) == 1
    assert files(root) == []


def test_a_place_that_was_never_used_is_swept_without_a_word(root: str) -> None:
    assert payloads.sweep(lambda _: False) == 0


def test_a_place_that_refuses_fails_the_node_with_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "outputs").touch()

    for where in (tmp_path / "outputs", f"file://{tmp_path}/outputs"):
        monkeypatch.setenv("BACKBEAT_OUTPUTS", str(where))
        with pytest.raises(GraphError, match=r"an output of 15,\d+ bytes can't be kept in .*outputs: "):
            payloads.keep("g:1", {**VALUE, "more": "x" * 5_000}, 100)


def test_a_url_that_no_driver_knows_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKBEAT_OUTPUTS", "ftpz://somewhere/outputs")

    with pytest.raises(
        GraphError, match=r"expected a storage that fsspec can open here; got ftpz://somewhere/outputs: Protocol not known"
    ):
        payloads.keep("g:1", VALUE, 100)


def test_what_json_cannot_hold_and_what_is_too_large_altogether_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payloads, "LARGEST", 1_000)

    with pytest.raises(GraphError, match=r"expected an output of at most 1,000 bytes; got 10,\d+. Store it yourself"):
        payloads.keep("g:1", VALUE, 100)
    with pytest.raises(GraphError, match=r"expected an output that JSON can hold, because other nodes need it; got set"):
        payloads.keep("g:1", {1, 2}, 100)


@pytest.mark.redis
def test_a_keeper_removes_outputs_with_the_run_and_not_before(root: str, redis_client: redis.Redis) -> None:
    store = Store(Slots(redis_client, "t", 4, direct=True, requeue_after=60.0, key_ttl=0.5))
    start(store, of(a=""))
    payloads.keep(RUN, VALUE, 100)

    with override(key_retention=0.001):
        DagKeeper(store).step()
        assert len(files(root)) == 2
        run_all(store)
        while store.dags.known(RUN):
            time.sleep(0.05)
        DagKeeper(store).step()

    assert files(root) == []


@pytest.mark.redis
def test_a_keeper_on_a_machine_that_has_just_started_removes_them_too(
    root: str, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The monotonic clock counts from there.
    monkeypatch.setattr(dag_keeper, "time", SimpleNamespace(monotonic=lambda: 60.0))
    payloads.keep("gone:1", VALUE, 100)

    with override(key_retention=0.001):
        time.sleep(0.01)
        DagKeeper(Store(Slots(redis_client, "t", 4, direct=True, requeue_after=60.0, key_ttl=0.5))).step()

    assert files(root) == []

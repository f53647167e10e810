"""`backbeat dev` as a person uses it: starts by one command, obeys Ctrl-C, goes on where it stopped, leaves nothing behind."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from http.cookiejar import CookieJar
from itertools import pairwise
from pathlib import Path

import psycopg
import pytest
import redis

from backbeat.cli.stack import ports
from tests.support.dev import Dev, copy_of_the_deployment
from tests.support.eventually import eventually
from tests.support.processes import free_port
from tests.support.servers import RedisServer

pytestmark = [
    pytest.mark.redis,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="processes are counted by /proc"),
]
NEW_JOB = """
from backbeat import job

@job("hello.world")
def world() -> str:
    return "hello"
"""
TICKING = """
from backbeat import Every, job

@job("hello.tick", schedule=Every("2s"), misfire="latest")
def tick() -> None:
    pass
"""


@pytest.fixture
def root(server_folder: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    root = server_folder / f"my {request.node.name[-12:]}"
    copy_of_the_deployment(root)
    yield root
    shutil.rmtree(root, ignore_errors=True)


@pytest.fixture
def dev(root: Path) -> Iterator[Dev]:
    started = Dev(root, "--quiet", "--no-graph")
    started.start()
    yield started
    if started.alive:
        started.stop(signal.SIGINT, within=40)
    for pid in started.members():
        os.kill(pid, signal.SIGKILL)


def test_it_lets_a_person_in_with_the_printed_password(dev: Dev) -> None:
    url, password = dev.said(r"UI +(\S+) +\(user admin, one-time password (\S+);").groups()
    browser = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(CookieJar()))
    form = browser.open(url).read().decode()
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', form)
    assert token

    fields = {"csrfmiddlewaretoken": token[1], "username": "admin", "password": password, "next": "/admin/"}
    page = browser.open(f"{url}login/", urllib.parse.urlencode(fields).encode()).read().decode()

    assert "Log out" in page
    # Flower needs longer to start than the page.
    eventually(lambda: answers(browser, dev.said(r"Flower +(\S+)")[1]), within=20, message="Flower does not answer")


def answers(browser: urllib.request.OpenerDirector, url: str) -> bool:
    """Whether somebody serves this page by now."""
    try:
        return bool(browser.open(url).status == 200)
    except urllib.error.URLError:
        return False


def test_ctrl_c_stops_everything_and_a_second_start_goes_on(dev: Dev) -> None:
    dev.said("Trouble\\? backbeat doctor")
    with dev.ledger.client() as client:
        client.set("kept", "yes")

    assert dev.stop(signal.SIGINT, within=40) == 0
    assert dev.members() == []

    dev.start()
    # Nobody has logged in so far, so the password may be one that nobody has read.
    dev.said(r"(?s)one-time password \S+;.*one-time password \S+;.*Trouble")
    with dev.ledger.client() as client:
        assert client.get("kept") == b"yes"


def test_kill_9_leaves_nothing_for_long(dev: Dev) -> None:
    dev.said("Trouble\\? backbeat doctor")
    assert len(dev.members()) > 6

    os.kill(dev.pid, signal.SIGKILL)

    eventually(lambda: dev.members() == [], within=20, every=0.2)


def test_a_start_right_after_kill_9_waits_for_the_last_of_the_old_one(dev: Dev) -> None:
    dev.said("Trouble\\? backbeat doctor")
    os.kill(dev.pid, signal.SIGKILL)
    eventually(lambda: not dev.alive)
    dev.log.write_text("")

    dev.start()

    dev.said("Trouble\\? backbeat doctor")
    assert dev.stop(signal.SIGINT, within=40) == 0
    assert dev.members() == []


def test_what_fell_due_while_it_was_stopped_follows_the_misfire_policy(root: Path) -> None:
    (root / "jobs" / "hello.py").write_text(TICKING)
    dev = Dev(root, "--quiet", "--no-graph")
    ran = "select strftime('%s', nominal) from backbeat_run where job = 'hello.tick' and state = 'succeeded' order by nominal"
    dev.start()
    eventually(lambda: len(dev.rows(ran)) >= 2 if dev.said("UI ") else False, within=60, every=0.3, message=dev.logs)
    assert dev.stop(signal.SIGINT, within=40) == 0
    before = len(dev.rows(ran))
    stopped = time.time()
    eventually(lambda: time.time() > stopped + 13, within=20)

    dev.start()

    eventually(lambda: len(dev.rows(ran)) >= before + 4, within=60, every=0.3, message=dev.logs)
    dev.stop(signal.SIGINT, within=40)
    nominals = [int(nominal) for (nominal,) in dev.rows(ran)]
    gap, begin, end = max((later - earlier, earlier, later) for earlier, later in pairwise(nominals))
    left_out = dev.rows(
        "select reason, sum(count) from backbeat_omission where job = 'hello.tick' "
        f"and strftime('%s', first) + 0 > {begin} and strftime('%s', last) + 0 < {end} group by reason"
    )
    # Of what was missed at most the latest ran, and each of the others is on record with the reason: the policy, or
    # that the run which was handed over just before the stop had still to end.
    assert gap >= 10
    assert set(dict(left_out)) <= {"misfire", "overlap"}
    assert sum(count for _, count in left_out) == gap // 2 - 1, (nominals, left_out)


def test_a_killed_server_comes_back_with_its_data(dev: Dev) -> None:
    dev.said("Trouble\\? backbeat doctor")
    with dev.ledger.client() as client:
        client.config_set("appendfsync", "always")
        client.set("kept", "yes")
        pid = client.info("server")["process_id"]

    os.kill(pid, signal.SIGKILL)

    dev.said("the embedded server had ended; started again")
    with dev.ledger.client() as client:
        assert client.get("kept") == b"yes"


def test_a_second_dev_in_one_folder_is_refused(dev: Dev) -> None:
    dev.said("Trouble\\? backbeat doctor")
    second = Dev(dev.root)
    second.log = dev.root / "second.log"

    second.start()

    eventually(lambda: not second.alive, within=20)
    assert second.stop() == 4
    assert f"running already (pid {dev.pid}" in second.logs()
    assert dev.alive


def test_a_saved_job_is_there_without_a_restart(dev: Dev) -> None:
    dev.said("Trouble\\? backbeat doctor")

    (dev.root / "jobs" / "hello.py").write_text(NEW_JOB)

    eventually(lambda: "hello.world" in dev.names(), within=30, every=0.2, message=dev.logs)
    dev.said("jobs/hello.py changed; syncing definitions")


def test_a_taken_port_is_named_and_another_one_used(root: Path) -> None:
    with socket.socket() as holder:
        holder.bind((ports.HOST, 0))
        holder.listen()
        taken = holder.getsockname()[1]
        dev = Dev(root, "--quiet", "--no-graph")
        dev.env = {**(dev.env or {}), "BACKBEAT_WEB_PORT": str(taken)}
        dev.start()

        used = dev.said(rf"port {taken} is taken, so the web server uses (\d+); name another one with BACKBEAT_WEB_PORT")[1]

        assert dev.said(rf"UI +http://127.0.0.1:{used}/admin/")
        assert dev.stop(signal.SIGINT, within=40) == 0


def test_a_server_that_evicts_is_refused_with_the_cure(root: Path, redis_server: RedisServer, redis_client: redis.Redis) -> None:
    redis_client.config_set("maxmemory-policy", "allkeys-lru")
    dev = Dev(root, "--quiet", "--no-graph")
    dev.env = {**(dev.env or {}), "REDIS_URL": redis_server.url}

    dev.start()

    eventually(lambda: not dev.alive, within=20)
    redis_client.config_set("maxmemory-policy", "noeviction")
    assert dev.stop() == 2
    assert "CONFIG SET maxmemory-policy noeviction" in dev.logs()


def test_demo_runs_the_graph_to_green_prints_it_and_leaves_nothing(root: Path) -> None:
    demo = Dev(root, "--figures", command="demo")
    demo.start()

    eventually(lambda: not demo.alive, within=150, every=0.2, message=demo.logs)

    assert demo.stop() == 0, demo.logs()
    assert int(demo.said(r"(\d+) nodes: \1 succeeded")[1]) > 60
    assert Path(demo.said(r"report +(\S.*html)")[1]).is_file()
    assert demo.said(r"succeeded: first graph [\d.]+ s after the start, UI [\d.]+ s")
    assert demo.said(r"idle: \d+ processes, CPU [\d.]+ % of one core, memory \d+ MiB")
    assert demo.members() == []


@pytest.mark.rabbitmq
@pytest.mark.postgresql
def test_demo_is_green_on_rabbitmq_and_postgresql(root: Path, rabbitmq_url: str, postgresql_url: str) -> None:
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        connection.execute("create database demo")
    demo = Dev(root, command="demo")
    demo.env = {
        **(demo.env or {}),
        "BROKER_URL": rabbitmq_url,
        "DATABASE_URL": f"{postgresql_url.removesuffix('/postgres')}/demo",
    }
    demo.start()

    eventually(lambda: not demo.alive, within=150, every=0.2, message=demo.logs)

    assert demo.stop() == 0, demo.logs()
    assert not (root / ".backbeat" / "db.sqlite3").exists()


def test_a_database_that_does_not_answer_is_told_in_one_sentence(root: Path) -> None:
    dev = Dev(root)
    dev.env = {**(dev.env or {}), "DATABASE_URL": f"postgresql://nobody@127.0.0.1:{free_port()}/nothing"}
    dev.start()

    eventually(lambda: not dev.alive, within=30)

    assert dev.stop() == 1
    assert "correct DATABASE_URL" in dev.logs()
    assert "Traceback" not in dev.logs()
    assert dev.members() == []


def test_outside_a_deployment_it_says_what_it_looks_for(tmp_path: Path) -> None:
    dev = Dev(tmp_path)
    dev.start()

    eventually(lambda: not dev.alive, within=20)

    assert dev.stop() == 2
    assert "expected a folder with Procfile and manage.py" in dev.logs()


def test_demo_is_red_when_the_graph_is(root: Path) -> None:
    graph = root / "dags" / "environment_audit.py"
    graph.write_text(graph.read_text().replace("check_requirements(installed)", "check_requirements([{}])"))
    demo = Dev(root, command="demo")
    demo.start()

    eventually(lambda: not demo.alive, within=150, every=0.2, message=demo.logs)

    assert demo.stop() == 1
    assert demo.said(r"failed: first graph")

"""Whatever a job or a message does, its run ends in the right state with the reason, and the worker lives."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from kombu import Connection

from backbeat.core.job import JobSpec
from backbeat.core.message import arguments_of, envelope
from backbeat.core.template import Template
from tests.acceptance.conftest import QUICK, broker_url
from tests.support import evil_jobs
from tests.support.deployment import ROOT, Deployment
from tests.support.eventually import eventually
from tests.support.servers import RedisServer

pytestmark = [pytest.mark.redis, pytest.mark.slow]


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Iterator[Deployment]:
    with redis_server.client() as client:
        client.flushall()
    made = Deployment(tmp_path_factory.mktemp("evil"), redis_server.url, **QUICK)
    made.env["PYTHONPATH"] += f"{os.pathsep}{ROOT}"
    made.includes("tests.support.evil_jobs")
    for start in (made.worker, made.keeper):
        start()
    made.define(*(JobSpec(name, name) for name in evil_jobs.CASES), JobSpec("probe.work", "probe.work"))
    yield made
    made.stop()


@pytest.fixture(scope="module")
def parent(evil: Deployment) -> int:
    """The worker's process; it must be the same to the end."""
    return evil.processes["worker"].pid


def told(deployment: Deployment, run_id: str) -> str:
    """All that history says of how a run ended."""
    where = f"where run_id = '{run_id}'"
    rows = deployment.rows(f"select error_type, error_message, result, reason from backbeat_run {where}")
    rows += deployment.rows(f"select error_type, error_message, traceback, log from backbeat_attempt {where}")
    return "\n".join(str(cell) for row in rows for cell in row)


@pytest.fixture(scope="module")
def submitted(evil: Deployment) -> dict[str, str]:
    """All of them at once; they share two processes with each other's ruins."""
    return {job: evil.submit(job, "a") for job in evil_jobs.CASES}


@pytest.mark.parametrize("job", evil_jobs.CASES)
def test_a_job_that_does_evil_ends_in_the_right_state(evil: Deployment, submitted: dict[str, str], job: str) -> None:
    state, piece = evil_jobs.CASES[job]
    run_id = submitted[job]

    eventually(lambda: evil.state(run_id) in (state, "quarantined"), within=60, message=evil.story)

    assert evil.state(run_id) == state, told(evil, run_id)
    assert piece in told(evil, run_id)


def test_the_worker_lives_through_all_of_it(evil: Deployment, submitted: dict[str, str], parent: int) -> None:
    for job, run_id in submitted.items():
        eventually(lambda run=run_id: evil.state(run), within=60, message=job)

    alright(evil)

    assert evil.processes["worker"].pid == parent


def alright(deployment: Deployment) -> None:
    """The worker is alive and does what it shall."""
    run_id = deployment.submit("probe.work", os.urandom(4).hex())
    eventually(lambda: deployment.state(run_id) == "succeeded", within=20, message=deployment.story)
    assert deployment.processes["worker"].alive


def push(deployment: Deployment, message: str | bytes) -> None:
    deployment.client.lpush("default.p5", message)


def stock(task: str = "probe.work", body: bytes | None = None, **headers: Any) -> tuple[str, str]:
    """(id, envelope) of a message as any Celery producer writes it."""
    task_id = os.urandom(8).hex()
    body = json.dumps([[], {}, {}]).encode() if body is None else body
    message = {
        "body": base64.b64encode(body).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"lang": "py", "task": task, "id": task_id, "root_id": task_id, "retries": 0, **headers},
        "properties": {
            "correlation_id": task_id,
            "delivery_tag": task_id,
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": "default.p5"},
            "priority": 0,
            "body_encoding": "base64",
        },
    }
    return task_id, json.dumps(message)


GARBAGE = {
    "nothing": b"",
    "no JSON": b"\xff\xfe\x00 not a message",
    "a number": b"42",
    "a list": b"[1, 2]",
    "no properties": b'{"body": "x"}',
    "no headers": json.dumps({**json.loads(stock()[1]), "headers": None}).encode(),
    "no base64": json.dumps({**json.loads(stock()[1]), "body": "###"}).encode(),
    "no UTF-8": stock(body=b"\xff\xfe\x80")[1].encode(),
    "body no JSON": stock(body=b"{")[1].encode(),
    "body no triple": stock(body=b"{}")[1].encode(),
    "pickle": json.dumps({**json.loads(stock()[1]), "content-type": "application/x-python-serialize"}).encode(),
    "bad eta": stock(eta="soon")[1].encode(),
    "bad expires": stock(expires="never")[1].encode(),
    "bad limits": stock(timelimit="long")[1].encode(),
    "no task": stock(task=None)[1].encode(),  # type: ignore[arg-type] # what is tested
    "id no text": stock(id=17)[1].encode(),
    "our header is no object": stock(backbeat="yes")[1].encode(),
}


@pytest.mark.parametrize("what", GARBAGE)
def test_a_message_that_is_garbage_costs_nothing_but_itself(evil: Deployment, what: str) -> None:
    push(evil, GARBAGE[what])

    alright(evil)


@pytest.mark.parametrize(
    ("body", "piece"),
    [
        (b'[[], {"seconds": NaN}, {}]', "JSON"),
        (b'[[], {"text": "\\ud800"}, {}]', "surrogate"),
        (b"[[" + b"[" * 500 + b"]" * 500 + b"], {}, {}]", "deep"),
        (b'[["' + b"x" * 10_000_000 + b'"], {}, {}]', "at most"),
    ],
    ids=["NaN", "half a character", "deep", "ten megabytes"],
)
def test_arguments_that_can_not_be_kept_fail_the_run_with_the_reason(evil: Deployment, body: bytes, piece: str) -> None:
    task_id, message = stock(body=body)
    push(evil, message)

    eventually(lambda: evil.state(task_id) == "failed", within=20, message=evil.story)

    assert piece in told(evil, task_id)
    alright(evil)


def message_of(deployment: Deployment, run_id: str, task: str) -> tuple[dict[str, str], str]:
    """The fields and the message of a run that a newer deployment asked for."""
    template = Template(task)
    deployment.store.index.keep_template(run_id, template, template.task)
    arguments = arguments_of((), {})
    fields = {"j": run_id.partition(":")[0], "n": "", "q": template.queue, "tid": template.id, "x": arguments, "ky": "1"}
    return fields, envelope(template.outline, run_id, arguments, slot=deployment.store.slots.of(run_id).slot)


def test_a_run_whose_message_is_mangled_is_sent_again(evil: Deployment) -> None:
    run_id = "probe.work:mangled"
    fields, message = message_of(evil, run_id, "probe.work")

    evil.store.ledger.submit(run_id, fields, message.replace('"body":"', '"body":"###'))

    eventually(lambda: evil.state(run_id) == "succeeded", within=20, message=evil.story)


def test_a_message_of_a_newer_version_is_left_to_a_newer_worker(evil: Deployment) -> None:
    run_id = "probe.work:newer"
    fields, message = message_of(evil, run_id, "probe.work")

    evil.store.ledger.submit(run_id, fields, message.replace('"slot":', '"v":2,"slot":'))

    # This worker gives it back; the message that follows is one of our own version.
    eventually(lambda: evil.state(run_id) == "succeeded", within=20, message=evil.story)
    (first, second) = evil.attempts(run_id)
    assert (first[1], first[2], second[1]) == ("cancelled", "backbeat.errors.NewerMessage", "succeeded")


def test_a_policy_of_a_newer_version_is_left_to_a_newer_worker(evil: Deployment) -> None:
    run_id = "probe.work:policy"
    fields, message = message_of(evil, run_id, "probe.work")
    templates = evil.store.slots.of(run_id).templates
    evil.client.hset(templates, "newer", '{"task": "probe.work", "retry": 17, "color": "blue"}')

    evil.store.ledger.submit(run_id, fields | {"tid": "newer"}, message)

    # Neither lost nor run by half its policies; it waits, and history goes on.
    given_back = [("cancelled", "backbeat.errors.NewerPolicy")]
    eventually(lambda: [row[1:] for row in evil.attempts(run_id)] == given_back, within=20, message=evil.story)
    assert evil.store.ledger.get(run_id)["s"] == "retrying"
    alright(evil)
    evil.store.ledger.cancel(run_id, "seen")


def test_a_foreign_message_for_an_unknown_task_is_kept_too(evil: Deployment) -> None:
    task_id, message = stock("nobody.knows")
    push(evil, message)

    eventually(lambda: evil.attempts(task_id), within=20, message=evil.story)

    assert evil.store.ledger.get(task_id)["b"] >= "1"
    evil.store.ledger.cancel(task_id, "seen")


def test_a_run_whose_task_is_unknown_waits_for_a_worker_that_knows_it(evil: Deployment) -> None:
    run_id = "later.job:a"
    fields, message = message_of(evil, run_id, "later.job")
    evil.store.ledger.submit(run_id, fields, message)
    eventually(lambda: "cancelled" in {state for _, state, _ in evil.attempts(run_id)}, within=20, message=evil.story)

    (evil.folder / "later_jobs.py").write_text("from backbeat import job\n@job('later.job')\ndef later(): return 'at last'\n")
    evil.includes("tests.support.evil_jobs", "later_jobs")
    evil.processes["worker"].stop(within=15)
    evil.worker("newer")
    eventually(lambda: evil.state(run_id) == "succeeded", within=60, message=evil.story)

    first, last = evil.attempts(run_id)[0], evil.attempts(run_id)[-1]
    assert (first[1], first[2]) == ("cancelled", "celery.exceptions.NotRegistered")
    assert last[1] == "succeeded"


@pytest.mark.rabbitmq
def test_garbage_on_rabbitmq_costs_nothing_but_itself(
    tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer, request: pytest.FixtureRequest
) -> None:
    url = broker_url(request, "rabbitmq")
    deployment = Deployment(tmp_path_factory.mktemp("evil-rabbit"), redis_server.url, url, BACKBEAT_PREFIX="evil", **QUICK)
    try:
        for start in (deployment.worker, deployment.keeper):
            start()
        deployment.define(JobSpec("probe.work", "probe.work"))
        alright(deployment)
        sane = {"lang": "py", "task": "probe.work", "id": "x", "retries": 0}

        with Connection(url) as connection, connection.SimpleQueue("default.p5", queue_opts={"no_declare": True}) as queue:
            for body, headers in ((b"\xff\xfe", {}), (b"{}", sane), (b"[[], {}, {}]", sane | {"eta": "soon"})):
                queue.producer.publish(
                    body,
                    headers=headers,
                    content_type="application/json",
                    content_encoding="utf-8",
                    routing_key="default.p5",
                    exchange="",
                )

        alright(deployment)
    finally:
        deployment.stop()

"""A run whose process takes more memory than its job may is killed and has failed with that reason; its worker goes on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from backbeat.core.job import JobSpec
from backbeat.core.retry import Retry
from tests.support.deployment import Deployment
from tests.support.eventually import eventually
from tests.support.servers import RedisServer

pytestmark = pytest.mark.redis
MIB = 1 << 20
JOBS = """
import time
from backbeat import job

@job("probe.eat")
def eat(mib: int, seconds: float) -> int:
    food = b"x" * (mib << 20)
    time.sleep(seconds)
    return len(food)
"""


@pytest.fixture(scope="module")
def hungry(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Iterator[Deployment]:
    with redis_server.client() as client:
        client.flushall()
    made = Deployment(tmp_path_factory.mktemp("hungry"), redis_server.url)
    (made.folder / "eating_jobs.py").write_text(JOBS)
    (made.folder / "celeryconfig.py").write_text('imports = ["eating_jobs"]\n')
    limited = JobSpec("eat.limited", "probe.eat", memory=250 * MIB)
    again = JobSpec("eat.again", "probe.eat", memory=250 * MIB, retry=Retry(1, delay="50ms"))
    made.define(limited, again, JobSpec("eat.threads", "probe.eat", memory=MIB, pool="threads"))
    made.keeper()
    made.worker()
    made.worker("threads", "-P", "threads", pools=("threads",))
    yield made
    made.stop()


def test_memory_is_limited_where_a_run_has_a_process_of_its_own(hungry: Deployment) -> None:
    runs = {
        hungry.submit("eat.limited", "much", mib=300, seconds=60.0): "failed",
        hungry.submit("eat.again", "twice", mib=300, seconds=60.0): "failed",
        hungry.submit("eat.limited", "little", mib=1, seconds=1.5): "succeeded",
        hungry.submit("eat.threads", "shared", mib=1, seconds=0.0): "succeeded",
    }

    eventually(lambda: {one: hungry.state(one) for one in runs} == runs, within=60, message=hungry.story)

    much = "run_id = 'eat.limited:much'"
    ((reason, error, message),) = hungry.rows(f"select reason, error_type, error_message from backbeat_run where {much}")
    assert (reason, error) == ("memory", "backbeat.errors.MemoryLimitExceeded")
    assert message.endswith("MiB; its job may take 250 MiB.")
    assert [state for _, state, _ in hungry.attempts("eat.again:twice")] == ["failed", "failed"]
    assert "job probe.eat: its memory is not limited in this pool" in hungry.processes["threads"].logs(100_000)

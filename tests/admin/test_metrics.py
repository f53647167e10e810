"""The view that Prometheus scrapes."""

from __future__ import annotations

from django.test import RequestFactory

from backbeat import conf
from backbeat.admin.metrics import metrics
from tests.support.servers import RedisServer


def test_the_figures_are_served_as_prometheus_reads_them(redis: RedisServer) -> None:
    answer = metrics(RequestFactory().get("/metrics"))

    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/plain; version=0.0.4")
    assert b"\nbackbeat_healthy 0.0\n" in answer.content


def test_without_redis_the_scrape_fails_with_the_reason(tmp_path: object) -> None:
    with conf.override(redis_url=f"unix://{tmp_path}/none.sock?db=0"):
        answer = metrics(RequestFactory().get("/metrics"))

    assert answer.status_code == 503
    assert b"Redis does not answer" in answer.content

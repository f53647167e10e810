"""A view for Prometheus: `path("metrics", metrics)`. Give it no public address; it tells figures, never names of jobs."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse

from backbeat.runtime.insist import OUTAGE
from backbeat.runtime.metrics import CONTENT_TYPE, exposition
from backbeat.runtime.status import status
from backbeat.store.store import open_store


def metrics(_request: HttpRequest) -> HttpResponse:
    """The metrics of the whole deployment; 503 while Redis does not answer."""
    try:
        text = exposition(status(open_store()))
    except OUTAGE as error:
        return HttpResponse(f"Redis does not answer: {error}\n", status=503, content_type="text/plain")
    return HttpResponse(text, content_type=CONTENT_TYPE)

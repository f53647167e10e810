"""HTTP: ask a URL whether it answers as it should. `docs/howto/probe-a-url.md` shows it at work."""

from __future__ import annotations

import http.client
import ssl
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urljoin

from backbeat import current_run, job
from jobs._addresses import AddressRefused, NoSuchHost
from jobs._fetch import Answer, BadUrl, Request, Target, fetch, parse

METHODS = ("GET", "HEAD", "POST")
REDIRECTS = (301, 302, 303, 307, 308)
LARGEST_BODY = 64 * 1024 * 1024
_OURS = frozenset({"connection", "content-length", "host", "transfer-encoding"})


class ProbeFailed(Exception):
    """The URL did not answer as expected, or did not answer; the message says which."""


class ProbeRefused(ProbeFailed):
    """The probe was not sent, or not sent on: a bad URL or argument, or an address that is not public."""


@job
def probe(
    url: str,
    *,
    method: str = "GET",
    expect_status: int | list[int] | None = None,
    expect_text: str | None = None,
    headers: dict[str, str] | None = None,
    body: str | None = None,
    timeout: float = 10.0,
    max_body: int = 1_048_576,
    max_redirects: int = 3,
    allow_private: bool = False,
) -> dict[str, Any]:
    """Fetch a URL and compare the answer: any 2xx, or the status codes given, and a text that the body must hold.

    Redirects are followed; `max_redirects=0` takes a redirect as the answer. Headers and body are not sent on to another
    origin. `timeout` is seconds for everything together, redirects included. Only `max_body` bytes are read. Only hosts
    whose every address is public are asked, after each redirect anew, unless `allow_private=True`. Certificates are
    verified; SSL_CERT_FILE names a CA of your own. Proxy settings of the environment are not used.

    Returns `{"url", "status", "latency_ms", "bytes", "truncated", "address", "redirects"}`; URLs are without their query.
    Raises ProbeRefused when there is nothing that may be asked, ProbeFailed for any other answer or none.
    """
    wanted = [expect_status] if isinstance(expect_status, int) else expect_status or list(range(200, 300))
    _check(method, expect_text, headers or {}, timeout, max_body, max_redirects)
    started = time.monotonic()
    payload = None if body is None else body.encode()
    request = Request(_target(url), method, _headers(headers or {}), payload, started + timeout, max_body, allow_private)
    request, answer, passed = _followed(request, max_redirects)
    latency_ms = round((time.monotonic() - started) * 1000, 1)
    _judge(request.target, answer, wanted, expect_text)
    result = {"url": str(request.target), "status": answer.status, "latency_ms": latency_ms, "bytes": len(answer.body)}
    return {**result, "truncated": answer.truncated, "address": answer.address, "redirects": passed}


def _check(method: str, text: str | None, headers: Mapping[str, str], timeout: float, most: int, redirects: int) -> None:
    if method not in METHODS:
        raise ProbeRefused(f"method: expected one of {', '.join(METHODS)}; got {method!r}.")
    if method == "HEAD" and text is not None:
        raise ProbeRefused("expect_text: the answer to HEAD has no body; use GET.")
    if not 0 < timeout <= 3600:
        raise ProbeRefused(f"timeout: expected more than 0 and at most 3600 seconds; got {timeout!r}.")
    if not 0 <= most <= LARGEST_BODY:
        raise ProbeRefused(f"max_body: expected 0 to {LARGEST_BODY} bytes; got {most!r}.")
    if not 0 <= redirects <= 20:
        raise ProbeRefused(f"max_redirects: expected 0 to 20; got {redirects!r}.")
    taken = sorted(name for name in headers if name.lower() in _OURS)
    if taken:
        raise ProbeRefused(f"headers: {', '.join(taken)} can't be set, since the probe sets it from the URL and the body.")


def _headers(given: Mapping[str, str]) -> dict[str, str]:
    return {"User-Agent": "backbeat-probe", "Accept": "*/*", "Connection": "close", **given}


def _target(url: str) -> Target:
    try:
        return parse(url)
    except BadUrl as error:
        raise ProbeRefused(f"url: {error}") from None


def _followed(request: Request, most: int) -> tuple[Request, Answer, list[str]]:
    passed: list[str] = []
    while True:
        answer = _asked(request)
        current_run().log.info("%s %s: %d from %s", request.method, request.target, answer.status, answer.address)
        location = answer.headers.get("Location")
        if answer.status not in REDIRECTS or not location or not most:
            return request, answer, passed
        passed.append(str(request.target))
        if len(passed) > most:
            raise ProbeFailed(f"{passed[0]} redirects more than {most} times: {' -> '.join(passed)}.")
        request = _next(request, answer.status, location)


def _next(request: Request, status: int, location: str) -> Request:
    try:
        target = parse(urljoin(f"{request.target.scheme}://{request.target.authority}{request.target.path}", location))
    except (BadUrl, ValueError) as error:
        raise ProbeRefused(f"{request.target} redirects to a URL that is not followed: {error}") from None
    method, body, headers = request.method, request.body, request.headers
    if status == 303 or (method == "POST" and status in (301, 302)):  # as browsers do (RFC 9110 §15.4)
        method, body = ("HEAD" if method == "HEAD" else "GET"), None
    if target.origin != request.target.origin:
        headers = _headers({})
        if method == "POST":
            raise ProbeRefused(f"{request.target} redirects a POST to {target}: its body is not sent to another origin.")
    return Request(target, method, headers, body, request.deadline, request.max_body, request.allow_private)


def _asked(request: Request) -> Answer:
    try:
        return fetch(request)
    except AddressRefused as error:
        raise ProbeRefused(f"{request.target}: {error}") from None
    except NoSuchHost as error:
        raise ProbeFailed(f"{request.target}: {error}") from None
    except ssl.SSLCertVerificationError as error:
        raise ProbeFailed(f"{request.target}: the certificate is not accepted: {error.verify_message}.") from error
    except TimeoutError as error:
        raise ProbeFailed(f"{request.target}: no complete answer within the timeout.") from error
    except ValueError as error:  # http.client's refusal of a header with a line break
        raise ProbeRefused(f"{request.target}: {error}.") from error
    except http.client.HTTPException as error:
        raise ProbeFailed(f"{request.target}: the answer is not HTTP: {type(error).__name__} {error}.") from error
    except OSError as error:
        raise ProbeFailed(f"{request.target}: {error.strerror or error}.") from error


def _judge(target: Target, answer: Answer, wanted: list[int], text: str | None) -> None:
    if answer.status not in wanted:
        expected = "any of 200 to 299" if len(wanted) > 20 else " or ".join(map(str, wanted))
        raise ProbeFailed(f"{target}: expected status {expected}; got {answer.status}.")
    if text is not None and text not in _decoded(answer):
        part = f"{'first ' if answer.truncated else ''}{len(answer.body)} bytes of the answer"
        raise ProbeFailed(f"{target}: expected the text {text!r}; it is not in the {part}.")


def _decoded(answer: Answer) -> str:
    charset = answer.headers.get_content_charset() or "utf-8"
    try:
        return answer.body.decode(charset, errors="replace")
    except LookupError:  # a charset that Python does not know
        return answer.body.decode(errors="replace")

"""`http.probe`: what it makes of the answers of real servers."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jobs.http import ProbeFailed, ProbeRefused, probe
from tests.deployment.web import Server, serving
from tests.support.fixtures import missing
from tests.support.processes import free_port


@pytest.fixture
def site() -> Iterator[Server]:
    with serving(Server()) as server:
        yield server


def test_an_answer_as_expected_is_reported_with_its_latency(site: Server) -> None:
    result = probe(f"{site.url}/ok?token=secret", expect_text="systems", allow_private=True)

    latency = result.pop("latency_ms")
    url = f"{site.url}/ok"
    assert result == {"url": url, "status": 200, "bytes": 14, "truncated": False, "address": "127.0.0.1", "redirects": []}
    assert 0 < latency < 10_000


def test_another_status_fails(site: Server) -> None:
    with pytest.raises(ProbeFailed, match=r"/nowhere: expected status any of 200 to 299; got 404"):
        probe(f"{site.url}/nowhere", allow_private=True)
    with pytest.raises(ProbeFailed, match="expected status 201 or 204; got 200"):
        probe(f"{site.url}/ok", expect_status=[201, 204], allow_private=True)
    assert probe(f"{site.url}/nowhere", expect_status=404, allow_private=True)["status"] == 404


def test_a_missing_text_fails(site: Server) -> None:
    with pytest.raises(ProbeFailed, match="expected the text 'on fire'; it is not in the 14 bytes of the answer"):
        probe(f"{site.url}/ok", expect_text="on fire", allow_private=True)


def test_the_text_is_read_in_the_charset_of_the_answer(site: Server) -> None:
    assert probe(f"{site.url}/latin", expect_text="grün", allow_private=True)["status"] == 200
    assert probe(f"{site.url}/strange", expect_text="grün", allow_private=True)["status"] == 200


def test_head_and_post_are_sent_as_such(site: Server) -> None:
    assert probe(f"{site.url}/big", method="HEAD", allow_private=True)["bytes"] == 0
    probe(f"{site.url}/echo", method="POST", body="grün", expect_text='"body": "gr\\u00fcn"', allow_private=True)
    probe(f"{site.url}/echo", headers={"X-Key": "k1"}, expect_text='"X-Key": "k1"', allow_private=True)
    assert [method for method, _ in site.asked] == ["HEAD", "POST", "GET"]


def test_only_so_much_of_a_body_is_read(site: Server) -> None:
    result = probe(f"{site.url}/big", max_body=1000, allow_private=True)

    assert (result["bytes"], result["truncated"]) == (1000, True)
    with pytest.raises(ProbeFailed, match="not in the first 1000 bytes of the answer"):
        probe(f"{site.url}/big", max_body=1000, expect_text="end", allow_private=True)
    assert probe(f"{site.url}/big", max_body=6_000_000, expect_text="end", allow_private=True)["bytes"] == 5_000_003


@pytest.mark.parametrize("path", ["drip", "drip_headers"])
def test_a_server_that_drips_bytes_is_left_at_the_timeout(site: Server, path: str) -> None:
    began = time.monotonic()

    with pytest.raises(ProbeFailed, match="no complete answer within the timeout"):
        probe(f"{site.url}/{path}", timeout=1, allow_private=True)

    assert 1 <= time.monotonic() - began < 5


def test_a_server_that_hangs_up_early_fails(site: Server) -> None:
    with pytest.raises(ProbeFailed, match="IncompleteRead"):
        probe(f"{site.url}/short", timeout=5, allow_private=True)


def test_what_is_not_http_fails(site: Server) -> None:
    with pytest.raises(ProbeFailed, match="the answer is not HTTP: BadStatusLine"):
        probe(f"{site.url}/garbage", allow_private=True)


def test_a_closed_port_and_a_name_that_does_not_exist_fail() -> None:
    with pytest.raises(ProbeFailed, match="Connection refused"):
        probe(f"http://127.0.0.1:{free_port()}/", allow_private=True)
    with pytest.raises(ProbeFailed, match=r"'nowhere\.invalid' does not resolve"):
        probe("http://nowhere.invalid/")


def test_redirects_are_followed_and_listed_up_to_a_limit(site: Server) -> None:
    result = probe(f"{site.url}/away?to=/away%3Fto=/ok", allow_private=True)

    assert result["url"] == f"{site.url}/ok"
    assert result["redirects"] == [f"{site.url}/away"] * 2
    with pytest.raises(ProbeFailed, match="redirects more than 1 times"):
        probe(f"{site.url}/away?to=/away%3Fto=/ok", max_redirects=1, allow_private=True)
    assert probe(f"{site.url}/away?to=/ok", max_redirects=0, expect_status=302, allow_private=True)["status"] == 302


@pytest.mark.parametrize(
    ("status", "method", "body"), [(301, "GET", ""), (302, "GET", ""), (303, "GET", ""), (307, "POST", "hi"), (308, "POST", "hi")]
)
def test_a_redirected_post_becomes_what_the_status_says(site: Server, status: int, method: str, body: str) -> None:
    answer = f'"method": "{method}", "body": "{body}"'

    probe(f"{site.url}/away?to=/echo&status={status}", method="POST", body="hi", expect_text=answer, allow_private=True)


def test_headers_and_bodies_stay_with_their_origin(site: Server) -> None:
    headers = {"Authorization": "Bearer secret"}
    with serving(Server()) as other:
        probe(f"{site.url}/away?to=/echo", headers=headers, expect_text="Bearer secret", allow_private=True)
        with pytest.raises(ProbeFailed, match="expected the text 'Bearer secret'"):
            probe(f"{site.url}/away?to={other.url}/echo", headers=headers, expect_text="Bearer secret", allow_private=True)
        with pytest.raises(ProbeRefused, match="its body is not sent to another origin"):
            probe(f"{site.url}/away?status=307&to={other.url}/echo", method="POST", body="hi", allow_private=True)

        assert other.asked == [("GET", "/echo")]


@pytest.mark.parametrize(
    "to", ["file:///etc/passwd", "gopher://127.0.0.1/", "http://user:pw@127.0.0.1/", "http://[::1", "http://:80/"]
)
def test_a_redirect_to_what_is_no_plain_url_is_not_followed(site: Server, to: str) -> None:
    with pytest.raises(ProbeRefused, match="redirects to a URL that is not followed"):
        probe(f"{site.url}/away?to={to}", allow_private=True)


@pytest.mark.parametrize(
    ("url", "options", "sentence"),
    [
        ("ftp://example.org/", {}, "expected http:// or https://; got ftp://"),
        ("example.org", {}, "got no scheme"),
        ("http://", {}, "expected a host"),
        ("http://example.org:0/", {}, "a port above 0"),
        ("http://example.org:99999/", {}, "Port out of range"),
        ("http://me:pw@example.org/", {}, "no user name or password"),
        ("http://example.org/", {"method": "DELETE"}, "expected one of GET, HEAD, POST; got 'DELETE'"),
        ("http://example.org/", {"method": "HEAD", "expect_text": "x"}, "HEAD has no body"),
        ("http://example.org/", {"timeout": 0}, "timeout: expected more than 0"),
        ("http://example.org/", {"max_body": -1}, "max_body: expected 0 to"),
        ("http://example.org/", {"max_redirects": 21}, "max_redirects: expected 0 to 20"),
        ("http://example.org/", {"headers": {"host": "x"}}, "headers: host can't be set"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_sent(url: str, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ProbeRefused, match=sentence) as caught:
        probe(url, **options)

    assert "pw" not in str(caught.value)


def test_a_header_cannot_smuggle_in_another(site: Server) -> None:
    with pytest.raises(ProbeRefused, match="Invalid header value"):
        probe(f"{site.url}/ok", headers={"X": "a\r\nHost: other"}, allow_private=True)
    assert site.asked == []


def test_an_address_that_does_not_answer_leaves_time_for_the_next(monkeypatch: pytest.MonkeyPatch, site: Server) -> None:
    # A listener whose queue is full answers no further connection.
    with socket.create_server(("127.0.0.2", site.port), backlog=0) as full, socket.socket() as first, socket.socket() as second:
        for waiting in (first, second):
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        both = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, site.port)) for address in ("127.0.0.2", "127.0.0.1")]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)

        assert probe(f"http://two.example:{site.port}/ok", timeout=2, allow_private=True)["address"] == "127.0.0.1"


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    openssl = shutil.which("openssl")
    if openssl is None:
        missing("openssl", "openssl")
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    subject = ["-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"]
    make = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    subprocess.run([*make, *subject, "-keyout", key, "-out", cert], check=True, capture_output=True)
    return cert, key


@pytest.mark.parametrize(
    ("name", "trusted", "refusal"),
    [
        ("localhost", True, None),
        ("localhost", False, "the certificate is not accepted: self.signed certificate"),
        ("other.example", True, "the certificate is not accepted: Hostname mismatch"),
    ],
)
def test_certificates_are_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, trusted: bool, refusal: str | None
) -> None:
    cert, key = certificate(tmp_path, name)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    server = Server()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    names: list[str] = []
    context.sni_callback = lambda _socket, asked, _context: names.append(asked)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    url = f"https://localhost:{server.port}/ok"

    with serving(server):
        if refusal is None:
            assert probe(url, expect_text="all systems go", allow_private=True)["status"] == 200
        else:
            with pytest.raises(ProbeFailed, match=refusal):
                probe(url, allow_private=True)

    assert names == ["localhost"], "the name in the URL is asked for, though the connection goes to the checked address"


def test_the_environment_cannot_send_the_probe_through_a_proxy(monkeypatch: pytest.MonkeyPatch, site: Server) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")

    assert probe(f"{site.url}/ok", allow_private=True)["status"] == 200

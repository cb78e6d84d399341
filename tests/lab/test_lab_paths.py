"""Every path of the table, over a real connection, on both event loops."""

from __future__ import annotations

import gzip
import http.client
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from lab_client import Client

from atonce.lab import Lab
from atonce.lab.content import content

Connect = Callable[[str], Client]


@pytest.fixture
def http_client(lab: Lab) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection(lab.hosts[0], timeout=20)
    yield connection
    connection.close()


@pytest.fixture
def ask(http_client: http.client.HTTPConnection) -> Callable[..., tuple[http.client.HTTPResponse, bytes]]:
    def ask(path: str, method: str = "GET", **kwargs: Any) -> tuple[http.client.HTTPResponse, bytes]:
        http_client.request(method, path, **kwargs)
        response = http_client.getresponse()
        return response, response.read()

    return ask


Ask = Callable[..., tuple[http.client.HTTPResponse, bytes]]


@pytest.mark.parametrize("size", [0, 1, 1000, 65536, 65537, 3_000_001])
@pytest.mark.parametrize("way", ["bytes", "chunked", "gzip"])
def test_bodies_of_a_size(ask: Ask, way: str, size: int) -> None:
    for _ in range(2):  # the second may be remembered
        response, body = ask(f"/{way}/{size}?n=1")
        assert response.status == 200
        assert (gzip.decompress(body) if way == "gzip" else body) == content(size)
        assert response.getheader("Content-Length") == (None if way == "chunked" else str(len(body)))


def test_the_seed_is_in_the_bodies() -> None:
    assert content(100_000, 1) != content(100_000, 2)
    assert content(100_000, 1)[:99] == content(99, 1)


@pytest.mark.parametrize("path", ["/", "/any/thing?x=1", "/delay/0", "/delay/0.001", "/redirect/0", "/flaky/0"])
def test_the_small_text(ask: Ask, path: str) -> None:
    response, body = ask(path)
    assert (response.status, body) == (200, f"This is {path.partition('?')[0]} of the lab.\n".encode())


@pytest.mark.parametrize("path", ["/", "/bytes/10", "/bytes/5000000", "/chunked/10", "/gzip/10", "/truncated/10",
                                  "/endless", "/stall/10", "/drip", "/status/404", "/echo"])  # fmt: skip
def test_head_has_no_body(connect: Connect, lab: Lab, path: str) -> None:
    client = connect(lab.hosts[0])
    client.get(path, method="HEAD")
    head = client.read_until(b"\r\n\r\n")
    if path == "/truncated/10":
        assert client.read_to_end() == b""
        return
    client.get("/end")
    assert client.reply() == (200, b"This is /end of the lab.\n")
    assert b"Content-Length: 0" not in head


@pytest.mark.parametrize("code", [200, 201, 204, 299, 301, 304, 404, 429, 500, 599])
def test_statuses(ask: Ask, code: int) -> None:
    response, body = ask(f"/status/{code}")
    assert response.status == code
    assert response.getheader("Retry-After") is None
    assert body == (b"" if code in (204, 304) else f"status {code}\n".encode())


@pytest.mark.parametrize("value", ["3", "Wed, 21 Oct 2015 07:28:00 GMT", "-1", "garbage"])
def test_retry_after(ask: Ask, value: str) -> None:
    response, _ = ask(f"/status/429?retry_after={value.replace(' ', '%20')}")
    assert (response.status, response.getheader("Retry-After")) == (429, value)


@pytest.mark.parametrize("path", ["/bytes/x", "/bytes/-1", "/bytes", "/bytes/", "/status/99", "/status/1000",
                                  "/delay/x", "/delay/nan", "/flaky/x", "/redirect-to", "/redirect-to?url=a%0d%0ab",
                                  "/gzip/99999999999"])  # fmt: skip
def test_what_makes_no_sense_is_400_and_the_connection_goes_on(ask: Ask, path: str) -> None:
    assert ask(path)[0].status == 400
    assert ask("/")[0].status == 200


def test_flaky_fails_each_url_its_own_number_of_times(lab: Lab, ask: Ask) -> None:
    lab.reset()
    assert [ask("/flaky/2/a")[0].status for _ in range(4)] == [503, 503, 200, 200]
    assert [ask(f"/flaky/1/a?n={n}")[0].status for n in (1, 2, 1, 2)] == [503, 503, 200, 200]
    lab.reset()
    assert ask("/flaky/2/a")[0].status == 503


def test_redirects(ask: Ask) -> None:
    path, seen = "/redirect/3?n=7", []
    while (response := ask(path)[0]).status == 302:
        seen.append(path)
        path = response.getheader("Location") or ""
    assert seen == ["/redirect/3?n=7", "/redirect/2?n=7", "/redirect/1?n=7"]
    assert (path, response.status) == ("/redirect/0?n=7", 200)
    response, _ = ask("/redirect-to?url=http%3A%2F%2F169.254.169.254%2Fa%3Fb&status=307")
    assert (response.status, response.getheader("Location")) == (307, "http://169.254.169.254/a?b")


@pytest.mark.parametrize(
    ("body", "chunked"), [(b"", False), ("héllo".encode(), False), (b"x" * 300_000, False), (b"yz" * 70_000, True)]
)
def test_echo(lab: Lab, ask: Ask, body: bytes, chunked: bool) -> None:
    parts = iter([body[:9], body[9:]]) if chunked else body
    response, answer = ask("/echo?q", "POST", body=parts, headers={"X-Key": "1"}, encode_chunked=chunked)
    assert response.status == 200
    seen = json.loads(answer)
    assert (seen["host"], seen["method"], seen["target"]) == (lab.hosts[0], "POST", "/echo?q")
    assert ["X-Key", "1"] in seen["headers"]
    assert seen["body"] == body.decode()


def test_a_body_held_back_is_asked_for(connect: Connect, lab: Lab) -> None:
    client = connect(lab.hosts[0])
    client.get("/echo", "Expect: 100-continue", "Content-Length: 4", method="POST")
    assert client.read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(b"body")
    assert json.loads(client.reply()[1])["body"] == "body"


def test_a_connection_is_closed_when_the_client_asks(connect: Connect, lab: Lab) -> None:
    client = connect(lab.hosts[0])
    client.get("/bytes/3", "Connection: close")
    data = client.read_to_end()
    assert b"\r\nConnection: close\r\n" in data
    assert data.endswith(b"\r\n\r\n" + content(3))


def test_nonsense_is_400_and_the_end(connect: Connect, lab: Lab) -> None:
    client = connect(lab.hosts[0])
    client.send(b"nonsense\r\n\r\n")
    assert client.read_to_end().startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("size", [0, 1, 1000, 500_001])
def test_truncated(connect: Connect, lab: Lab, size: int) -> None:
    client = connect(lab.hosts[0])
    client.get(f"/truncated/{size}")
    head, _, body = client.read_to_end().partition(b"\r\n\r\n")
    assert f"Content-Length: {size}".encode() in head
    assert body == content(size // 2)


@pytest.mark.parametrize(("path", "size"), [("/truncated-chunked", 1000), ("/truncated-chunked/5", 5)])
def test_truncated_chunked(connect: Connect, lab: Lab, path: str, size: int) -> None:
    client = connect(lab.hosts[0])
    client.get(path)
    head, _, body = client.read_to_end().partition(b"\r\n\r\n")
    assert b"Transfer-Encoding: chunked" in head
    assert body == b"%x\r\n%b\r\n" % (size, content(size))


def test_close_breaks_its_promise(connect: Connect, lab: Lab) -> None:
    client = connect(lab.hosts[0])
    client.get("/close/10")
    head, _, body = client.read_to_end().partition(b"\r\n\r\n")
    assert b"Connection: keep-alive" in head
    assert body == content(10)


def test_endless_goes_on(connect: Connect, lab: Lab) -> None:
    client = connect(lab.hosts[0])
    client.get("/endless")
    client.read_until(b"\r\n\r\n")
    assert len(client.read(5_000_000)) == 5_000_000
    client.close()
    lab.wait_until(lambda stats: stats.open == 0)


@pytest.mark.parametrize("path", ["/stall/10", "/drip/10?every=3600", "/silent", "/delay/3600"])
def test_those_that_never_finish_are_in_progress_until_the_client_leaves(connect: Connect, lab: Lab, path: str) -> None:
    lab.wait_until(lambda stats: stats.open == 0)
    client = connect(lab.hosts[0])
    client.get(path)
    lab.wait_until(lambda stats: stats.busy == 1)
    if path == "/stall/10":
        assert client.read_until(b"\r\n\r\n").count(b"Content-Length: 21") == 1
        assert client.read(10) == content(10)
    if path.startswith("/drip"):
        client.read_until(b"\r\n\r\n")
        assert client.read(1) == b"."
    client.close()
    lab.wait_until(lambda stats: stats.busy == stats.open == 0)


def test_reset_resets(connect: Connect, lab: Lab) -> None:
    client = connect(lab.hosts[0])
    client.get("/reset")
    with pytest.raises(ConnectionResetError):
        client.sock.recv(1)
    lab.wait_until(lambda stats: stats.open == 0)


def test_stats_are_on_every_host_and_not_counted(connect: Connect, lab: Lab) -> None:
    lab.reset()
    for host in lab.hosts:
        client = connect(host)
        client.get("/__stats")
        status, body = client.reply()
        assert (status, json.loads(body)["requests"]) == (200, 0)
    assert lab.stats().paths == {}

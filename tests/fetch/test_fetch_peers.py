"""Against nginx, tinyproxy and microsocks: servers and proxies that nobody here has written."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from peers import Nginx, microsocks, nginx, tinyproxy

from atonce import Retry
from atonce.fetch import Page, Request
from atonce.fetch.api import fetch

Get = Callable[..., Page]

pytestmark = pytest.mark.usefixtures("trusted")


@pytest.fixture(scope="module")
def shared_nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    with nginx(tmp_path_factory.mktemp("nginx")) as served:
        yield served


@pytest.fixture
def server(shared_nginx: Nginx) -> Nginx:
    shared_nginx.forget()
    return shared_nginx


@pytest.fixture(params=["plain", "tls", "http2"])
def base(request: pytest.FixtureRequest, server: Nginx) -> str:
    return getattr(server, request.param)


def several(transport: str, urls: list[Any], **options: Any) -> list[Page]:
    model = "threads" if transport == "requests" else "coroutines"
    told = {"transport": transport, "model": model, "retry": Retry(attempts=1), "ordered": True, **options}
    return list(fetch(urls, **told))


# ── nginx ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_row_says_what_came(get: Get, transport: str, server: Nginx, base: str) -> None:
    row = get(f"{base}/16k.bin").row()
    http2 = transport == "curl" and base == server.http2
    assert row["http_version"] == ("2" if http2 else "1.1")
    known = {
        name: row[name] for name in ("status", "ok", "bytes", "sha256", "content_type", "complete", "peer_ip", "final_url")
    }
    assert known == {
        "status": 200,
        "ok": True,
        "bytes": len(server.binary),
        "sha256": hashlib.sha256(server.binary).hexdigest(),
        "content_type": "application/octet-stream",
        "complete": True,
        "peer_ip": "127.0.0.1",
        "final_url": f"{base}/16k.bin",
    }
    if transport != "aiohttp":  # which tells the time of connection and TLS as one
        assert (row["tls_s"] is None) == (base == server.plain)
    assert 0 <= row["first_byte_s"] <= row["total_s"]


@pytest.mark.parametrize(
    ("path", "headers", "status", "error_class", "size"),
    [
        ("/missing", {}, 404, "http-4xx", None),
        ("/16k.bin", {"Range": "bytes=100-199"}, 206, None, 100),
        ("/16k.bin", {"Range": "bytes=-10"}, 206, None, 10),
        ("/16k.bin", {"Range": "bytes=99999-"}, 416, "http-4xx", None),
        ("/moved", {}, 200, None, 16384),
        ("/long.txt", {}, 200, None, 75000),  # gzip
        ("/long.txt", {"Accept-Encoding": "identity"}, 200, None, 75000),
    ],
)
def test_what_it_answers(
    get: Get,
    server: Nginx,
    base: str,
    path: str,
    headers: dict[str, str],
    status: int,
    error_class: str | None,
    size: int | None,
) -> None:
    page = get(Request(base + path, headers=headers))
    assert (page.status, page.error_class) == (status, error_class)
    if size is not None:
        assert len(page.body) == size
    if path == "/long.txt":
        assert page.text == server.text
        zipped = "Accept-Encoding" not in headers
        assert (("content-encoding", "gzip") in [(name.lower(), value) for name, value in page.headers]) == zipped


def test_head_and_refused_methods(get: Get, base: str) -> None:
    head = get(Request(f"{base}/16k.bin", "HEAD"))
    assert (head.status, head.ok, head.body) == (200, True, b"")
    put = get(Request(f"{base}/16k.bin", "PUT", body=b"x" * 100_000))
    assert (put.status, put.error_class) == (405, "http-4xx")


def test_bodies_arrive_as_they_were_sent(get: Get, server: Nginx, base: str) -> None:
    for number, body in enumerate([b"", b"\0", b"\0\1a\0", bytes(range(256)) * 20_000]):
        name = f"put/{base.rpartition(':')[2]}-{number}"
        assert get(Request(f"{base}/{name}", "PUT", body=body)).status in (201, 204)
        assert (server.folder / "html" / name).read_bytes() == body


def test_redirects_across_schemes_and_in_circles(get: Get, server: Nginx) -> None:
    page = get(f"{server.plain}/secure", allow_private=True)  # to another port
    assert (page.ok, page.final_url, page.body) == (True, f"{server.tls}/16k.bin", server.binary)
    assert get(Request(f"{server.tls}/kept", "POST", body=b"x")).status == 405  # 308 keeps the method
    assert get(f"{server.plain}/loop").error_class == "policy"


def test_what_has_not_changed_is_said_to_be_so(get: Get, base: str) -> None:
    first = get(f"{base}/16k.bin")
    again = get(
        Request(f"{base}/16k.bin", headers={"If-None-Match": dict(first.headers).get("ETag") or dict(first.headers)["etag"]})
    )
    assert (again.status, again.ok, again.body) == (304, True, b"")


def test_a_pause_that_is_asked_for(get: Get, server: Nginx) -> None:
    page = get(f"{server.plain}/busy")
    assert (page.status, page.error_class) == (503, "throttled")


def test_one_in_flight_is_one_connection(transport: str, server: Nginx, base: str) -> None:
    pages = several(transport, [f"{base}/16k.bin?{n}" for n in range(20)], concurrency=1, per_key=1)
    assert [page.body == server.binary for page in pages] == [True] * 20
    assert sorted(server.connections(base, 20).values()) == [20]


def test_connections_are_as_many_as_were_in_flight_and_are_kept(transport: str, server: Nginx) -> None:
    pages = several(transport, [f"{server.plain}/16k.bin?{n}" for n in range(100)], concurrency=5, per_key=5)
    assert all(page.ok for page in pages)
    assert len(server.connections(server.plain, 100)) <= 5


@pytest.mark.parametrize("options", [{}, {"concurrency": 50, "per_key": 50}], ids=["auto", "all at once"])
def test_http2_carries_them_all_in_one_connection(server: Nginx, options: dict[str, int]) -> None:
    pages = several("curl", [f"{server.http2}/16k.bin?{n}" for n in range(50)], **options)
    assert {(page.http_version, page.body == server.binary) for page in pages} == {("2", True)}
    assert sorted(server.connections(server.http2, 50).values()) == [50]


def test_who_waited_for_http2_in_vain_goes_on_with_http1(server: Nginx) -> None:
    urls = [f"{server.tls}/16k.bin?{n}" for n in range(20)] + [f"{server.http2}/16k.bin?{n}" for n in range(20)]
    pages = several("curl", urls, concurrency=40, per_key=20)
    assert [page.http_version for page in pages] == ["1.1"] * 20 + ["2"] * 20
    assert len(server.connections(server.http2, 20)) == 1


def test_a_host_that_cannot_be_connected_to_lets_no_one_wait(server: Nginx) -> None:
    # TLS to a port that speaks none: each of those that wait for the first connection fails by itself
    pages = several("curl", [f"https{server.plain[4:]}/?{n}" for n in range(10)], concurrency=10, per_key=10)
    assert {page.error_class for page in pages} == {"tls"}


# ── proxies ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def open_proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with tinyproxy(tmp_path_factory.mktemp("proxy")) as served:
        yield f"http://{served}"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with tinyproxy(tmp_path_factory.mktemp("guarded"), "BasicAuth me secret") as served:
        yield served


def test_all_goes_through_a_proxy(get: Get, transport: str, server: Nginx, base: str, open_proxy: str) -> None:
    page = get(f"{base}/16k.bin", proxy=open_proxy)
    assert (page.ok, page.body) == (True, server.binary)
    http2 = transport == "curl" and base == server.http2
    assert page.http_version == ("2" if http2 else "1.0" if page.head.startswith(b"HTTP/1.0") else "1.1")
    missing = get(f"{base}/missing", proxy=open_proxy)
    assert (missing.status, missing.error_class) == (404, "http-4xx")


def test_a_proxy_that_wants_a_password(get: Get, server: Nginx, base: str, guarded: str) -> None:
    assert get(f"{base}/16k.bin", proxy=f"http://me:secret@{guarded}").body == server.binary
    for user in ("", "me:wrong@"):
        page = get(f"{base}/16k.bin", proxy=f"http://{user}{guarded}")
        assert page.error_class == ("http-4xx" if base == server.plain else "connect")
        assert "wrong" not in repr(page) + str(page.row())


def test_a_proxy_that_is_down(get: Get, server: Nginx, base: str, tmp_path: Path) -> None:
    with tinyproxy(tmp_path) as served:
        pass  # nobody listens there any more
    assert get(f"{base}/16k.bin", proxy=f"http://{served}").error_class == "connect"


def test_a_server_behind_a_proxy_that_is_down(get: Get, open_proxy: str, tmp_path: Path) -> None:
    with tinyproxy(tmp_path) as served:
        pass
    assert get(f"https://{served}/", proxy=open_proxy).error_class == "connect"
    plain = get(f"http://{served}/", proxy=open_proxy)  # what answers is the proxy, which says so in its own words
    assert (plain.ok, plain.status) == (False, 500) or plain.status in (502, 503, 504)


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_socks(server: Nginx, base: str, scheme: str, tmp_path: Path) -> None:
    with microsocks(tmp_path, "-u", "me", "-P", "secret") as served:
        [page] = several("curl", [f"{base}/16k.bin"], proxy=f"{scheme}://me:secret@{served}")
        assert (page.ok, page.body) == (True, server.binary)
        [refused] = several("curl", [f"{base}/16k.bin"], proxy=f"{scheme}://me:wrong@{served}")
        assert refused.error_class == "connect"

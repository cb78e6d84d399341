"""What every transport does alike: one suite, run with each."""

from __future__ import annotations

import gzip
import json
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fetch_server import PEM, Scripted, reply

from atonce import Retry
from atonce.fetch import Page, Request, Timeouts
from atonce.fetch.api import fetch
from atonce.fetch.decode import encodings
from atonce.fetch.transport import trust
from atonce.lab import Lab

Get = Callable[..., Page]

QUICK = Timeouts(connect=0.3, first_byte=0.3, stall=0.3, total=5)
AGAIN = Retry(attempts=3, base=0.001)


# ── answers ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_answer_is_a_page(get: Get, lab: Lab) -> None:
    url = f"{lab.base}/bytes/1000"
    page = get(url)
    assert (page.index, page.url, page.method, page.final_url, page.status) == (0, url, "GET", url, 200)
    assert (page.ok, page.error_class, page.error, page.attempts, page.complete) == (True, None, None, 1, True)
    assert len(page.body) == page.bytes == 1000
    assert (page.http_version, page.peer_ip, page.content_type) == ("1.1", "127.0.0.1", "application/octet-stream")
    assert abs(page.started_at - time.time()) < 60
    assert page.dns_s is None or 0 <= page.dns_s <= page.total_s
    assert page.connect_s is not None
    assert page.first_byte_s is not None
    assert 0 <= page.connect_s <= page.first_byte_s <= page.total_s
    assert page.tls_s is None
    assert page.head.startswith(b"HTTP/1.1 200")
    assert dict(page.headers)["Content-Length"] == "1000"


def test_a_connection_is_used_again(transport: str, lab: Lab) -> None:
    model = "threads" if transport == "requests" else "coroutines"
    urls = lab.urls(5, "/bytes/10")
    urls = [url for url in urls if lab.hosts[0] in url] * 3
    pages = list(fetch(urls, transport=transport, model=model, concurrency=1, ordered=True))
    assert [page.ok for page in pages] == [True] * len(urls)
    assert lab.stats().connections == 1
    assert [page.connect_s is None for page in pages] == [False] + [True] * (len(urls) - 1)


@pytest.mark.parametrize("size", [0, 1, 65536, 5_000_000])
def test_bodies_of_any_size(get: Get, lab: Lab, size: int) -> None:
    for kind in ("bytes", "chunked", "close"):
        page = get(f"{lab.base}/{kind}/{size}")
        assert (page.ok, page.bytes) == (True, size)


def test_a_compressed_body_is_unpacked(get: Get, lab: Lab) -> None:
    page = get(f"{lab.base}/gzip/100000")
    assert page.ok
    assert page.body == get(f"{lab.base}/bytes/100000").body
    assert ("Content-Encoding", "gzip") in page.headers


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + reply(b"fine"), "fine"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 20 + reply(b"fine"), "fine"),
        (b"HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfine\r\n0\r\nLocation: /\r\nX: y\r\n\r\n", "fine"),
        (b"HTTP/1.0 200 OK\r\n\r\nfine", "fine"),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\n", ""),
        (b"HTTP/1.1 204 No Content\r\n\r\n", ""),
        (reply(b"fine", f"X: {'x' * 60_000}"), "fine"),
    ],
)
def test_unusual_answers_that_are_fine(get: Get, answer: bytes, text: str) -> None:
    with Scripted([answer, "close"]) as server:
        page = get(server.url)
    assert (page.ok, page.text, page.complete) == (True, text, True)
    assert b"103" not in page.head
    assert "location" not in {name.lower() for name, _ in page.headers}


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 4\r\n\r\nfine",
        b"HTTP/1.1 200 OK\nContent-Length: 4\n\nfine",
        b"HTTP/1.1 204 No Content\r\n\r\nfine",
    ],
)
def test_bad_style_is_either_understood_or_refused(get: Get, answer: bytes) -> None:
    with Scripted([answer, "close"]) as server:
        page = get(server.url)
    assert (page.ok and page.text in ("fine", "")) or page.error_class == "protocol"  # aiohttp is strict under -X dev


def test_head_has_no_body(get: Get, lab: Lab) -> None:
    page = get(Request(f"{lab.base}/gzip/1000", "HEAD"))
    assert (page.ok, page.bytes, page.complete) == (True, 0, True)
    assert get(Request(f"{lab.base}/endless", "HEAD"), max_body=10).ok


# ── what is sent ─────────────────────────────────────────────────────────────────────────────────────────────────────


def sent(page: Page) -> tuple[dict[str, Any], dict[str, str]]:
    seen = json.loads(page.body)
    return seen, {name.lower(): value for name, value in seen["headers"]}


def test_a_plain_request(get: Get, lab: Lab) -> None:
    seen, headers = sent(get(f"{lab.base}/echo?a=b%2f&c=%zz|[]/../", user_agent="me/1"))
    assert (seen["method"], seen["target"]) == ("GET", "/echo?a=b%2f&c=%zz|[]/../")
    assert headers.pop("connection", "keep-alive") == "keep-alive"
    assert headers == {"host": lab.hosts[0], "user-agent": "me/1", "accept": "*/*", "accept-encoding": encodings()}


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY"])
@pytest.mark.parametrize("body", [None, b"", b"a=b", b"\0", b"\0\1\xff", b"x" * 200_000])
def test_methods_and_bodies(get: Get, method: str, body: bytes | None) -> None:
    with Scripted([reply(b"ok")]) as server:
        assert get(Request(server.url, method, body=body)).text == "ok"
        [request] = server.seen
    head, _, rest = request.partition(b"\r\n\r\n")
    assert head.startswith(f"{method} / HTTP/1.1\r\n".encode())
    assert rest == (body or b"")
    names = [line.partition(b":")[0].lower() for line in head.split(b"\r\n")[1:]]
    assert not {b"expect", b"content-type", b"transfer-encoding", b"cookie", b"authorization"} & set(names)
    if body or method in ("POST", "PUT", "PATCH"):
        assert b"content-length" in names


def test_the_users_headers_go_before_ours(get: Get, lab: Lab) -> None:
    mine = {"User-Agent": "mine", "accept": "text/html", "X-Empty": "", "Authorization": "Bearer x", "Content-Type": "a/b"}
    _, headers = sent(get(Request(f"{lab.base}/echo", "POST", mine, b"x")))
    assert {name: headers[name.lower()] for name in mine} == mine
    assert headers["accept-encoding"] == encodings()


def test_userinfo_is_sent_as_a_header(get: Get, lab: Lab) -> None:
    page = get(f"http://me:secret@{lab.hosts[0]}/echo")
    assert sent(page)[1]["authorization"] == "Basic bWU6c2VjcmV0"
    assert "secret" not in repr(page) + json.dumps(page.row())


def test_a_cookie_is_not_kept(get: Get) -> None:
    with Scripted([reply(b"", "Set-Cookie: a=b; Path=/", "Location: /next", status="302 Found")], [reply()]) as server:
        assert get(server.url).final_url == f"{server.url}next"
        assert b"cookie" not in server.seen[1].lower()


def test_the_environment_is_left_alone(get: Get, lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password secret")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    page = get(f"{lab.base}/echo")
    assert "authorization" not in sent(page)[1]


# ── redirects ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_redirects_are_followed(get: Get, lab: Lab) -> None:
    page = get(f"{lab.base}/redirect/10")
    assert (page.ok, page.final_url, page.url) == (True, f"{lab.base}/redirect/0", f"{lab.base}/redirect/10")
    page = get(f"{lab.base}/redirect/11")
    assert (page.error_class, page.complete, page.attempts) == ("policy", False, 1)
    assert lab.stats().requests == 22


def test_a_redirect_may_be_the_answer(get: Get, lab: Lab) -> None:
    page = get(f"{lab.base}/redirect/1", max_redirects=0)
    assert (page.ok, page.status, dict(page.headers)["Location"]) == (True, 302, "/redirect/0")


def test_another_origin_does_not_get_the_secrets(get: Get, lab: Lab) -> None:
    request = Request(
        f"http://me:pw@{lab.hosts[0]}/redirect-to?url=http://{lab.hosts[1]}/echo",
        headers={"X-Api-Key": "k", "Cookie": "c", "Accept": "a"},
    )
    _, headers = sent(get(request, allow_private=True))
    assert headers["host"] == lab.hosts[1]
    assert headers["accept"] == "a"
    assert not {"x-api-key", "cookie", "authorization"} & headers.keys()
    _, headers = sent(get(Request(f"{lab.base}/redirect-to?url=/echo", headers={"X-Api-Key": "k"})))
    assert headers["x-api-key"] == "k"


@pytest.mark.parametrize(
    ("status", "method", "body"), [(302, "GET", ""), (303, "GET", ""), (307, "POST", "b\0"), (308, "POST", "b\0")]
)
def test_what_a_redirect_does_to_a_post(get: Get, lab: Lab, status: int, method: str, body: str) -> None:
    url = f"{lab.base}/redirect-to?url=/echo&status={status}"
    seen, headers = sent(get(Request(url, "POST", {"Content-Type": "text/plain"}, b"b\0")))
    assert (seen["method"], seen["body"]) == (method, body)
    assert ("content-type" in headers) == (method == "POST")


@pytest.mark.parametrize(
    ("location", "kind"),
    [
        ("http://127.0.0.2:9/", "policy"),
        ("http://localhost/", "policy"),
        ("http://169.254.169.254/latest/meta-data/", "policy"),
        ("http://[::ffff:169.254.169.254]/", "policy"),
        ("http://0x7f.0.0.2/", "policy"),
        ("file:///etc/passwd", "policy"),
        ("/a\tb", "policy"),
        ("", "protocol"),
    ],
)
def test_where_redirects_do_not_lead(get: Get, location: str, kind: str) -> None:
    with Scripted([reply(b"", f"Location: {location}", status="302 Found")], ["close"]) as server:
        page = get(server.url)
        assert (page.error_class, page.status, page.ok, len(server.seen)) == (kind, 302, False, 1)


def test_another_private_place_is_refused_by_redirect_though_it_is_in_the_list(get: Get, lab: Lab) -> None:
    """What else is listed is not known to who follows a redirect: the reason says nothing of that, and what lets it."""
    with Scripted([reply(b"inside")]) as other:
        page = get(f"{lab.base}/redirect-to?url={other.url}")
        assert (page.error_class, page.status, page.attempts) == ("policy", 302, 1)
        assert page.error == (
            f"a redirect leads to {other.url.rstrip('/')}, which is not public and not this URL's own host and port; "
            f"allow_private (--allow-private) lets it: {other.url}"
        )
        assert other.seen == []
        assert get(f"{lab.base}/redirect-to?url={other.url}", allow_private=True).body == b"inside"


@pytest.mark.parametrize("target", ["/a%2fb%c3%A9?c=%2f", "/%e9%zz%", "/a%41[b]|c;d=e", "/?%3d=a?b+c%20", "//x//y"])
def test_a_url_is_asked_for_as_it_is_written(get: Get, target: str) -> None:
    """Servers that sign URLs compare what they get letter by letter."""
    with Scripted([reply(b"x")], [reply(b"x")]) as server:
        for each in (f"{server.url}{target[1:]}", f"{server.url}plain"):
            assert get(each).ok
        assert [request.split(b" ")[1].decode() for request in server.seen] == [target, "/plain"]
        proxy = server.url
        assert get(f"http://a.example{target}", proxy=proxy).ok
        assert server.seen[2].startswith(f"GET http://a.example{target} HTTP/1.1\r\n".encode())


@pytest.mark.parametrize(("second", "kind"), [("/a", None), ("/b", "protocol")])
def test_a_redirect_leads_to_one_place(get: Get, second: str, kind: str | None) -> None:
    """Of two, whoever stands between may mean one, and the server the other."""
    with Scripted([reply(b"", "Location: /a", f"location: {second}", status="302 Found")], [reply(b"x")]) as server:
        page = get(server.url)
        assert (page.error_class, len(server.seen)) == (kind, 1 if kind else 2)


def test_a_location_in_utf8(get: Get) -> None:
    """Which servers send, though no header has it by the standard."""
    location = "Location: /voil\u00e0".encode().decode("latin-1")
    with Scripted([reply(b"", location, status="302 Found")], [reply(b"x")]) as server:
        page = get(server.url)
        assert (page.ok, page.final_url) == (True, f"{server.url}voil%C3%A0")
        assert server.seen[1].startswith(b"GET /voil%C3%A0 HTTP/1.1\r\n")


def test_a_public_name_with_a_private_address(get: Get, lab: Lab, monkeypatch: pytest.MonkeyPatch, transport: str) -> None:
    if transport == "curl":
        pytest.skip("libcurl looks names up by itself: see test_fetch_curl")
    port = lab.hosts[0].partition(":")[2]
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *a, **k: real("127.0.0.1", *a, **k))
    page = get(f"http://public.example.org:{port}/echo")
    assert (page.error_class, page.attempts) == ("policy", 1)
    assert "127.0.0.1, which is not public; allow_private (--allow-private) lets it" in (page.error or "")
    assert lab.stats().connections == 0
    assert get(f"http://public.example.org:{port}/echo", allow_private=True).ok


# ── failures ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("path", "kind", "attempts"),
    [
        ("/status/404", "http-4xx", 1),
        ("/status/410", "http-4xx", 1),
        ("/status/408", "http-4xx", 3),
        ("/status/425", "http-4xx", 3),
        ("/status/429", "throttled", 3),
        ("/status/500", "http-5xx", 3),
        ("/status/503", "http-5xx", 3),
        ("/status/503?retry_after=0", "throttled", 3),
        ("/truncated/1000", "truncated", 1),
        ("/truncated-chunked", "truncated", 1),
        ("/reset", "connect", 3),
    ],
)
def test_what_is_tried_again(get: Get, lab: Lab, path: str, kind: str, attempts: int) -> None:
    page = get(f"{lab.base}{path}", retry=AGAIN)
    assert (page.ok, page.error_class, page.attempts) == (False, kind, attempts)
    assert page.complete == path.startswith("/status")
    assert bool(page.body) == page.complete
    assert lab.stats().requests == attempts


@pytest.mark.parametrize(
    ("path", "kind", "attempts"),
    [("/status/500", "http-5xx", 1), ("/status/429", "throttled", 3), ("/reset", "connect", 1)],
)
def test_what_is_tried_again_of_a_post(get: Get, lab: Lab, path: str, kind: str, attempts: int) -> None:
    page = get(Request(f"{lab.base}{path}", "POST", body=b"x"), retry=AGAIN)
    assert (page.error_class, page.attempts) == (kind, attempts)
    assert lab.stats().requests == attempts


def test_what_fails_twice_succeeds_the_third_time(get: Get, lab: Lab) -> None:
    page = get(f"{lab.base}/flaky/2/x", retry=AGAIN)
    assert (page.ok, page.attempts, page.status) == (True, 3, 200)


def test_nobody_there(get: Get) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    page = get(Request(f"http://127.0.0.1:{port}/", "POST"), retry=AGAIN)
    assert (page.error_class, page.attempts, page.status, page.peer_ip) == ("connect", 3, None, None)


def test_no_such_name(get: Get) -> None:
    page = get("http://no-such-name.invalid/", retry=AGAIN)
    assert (page.error_class, page.attempts) == ("dns", 3)


@pytest.mark.parametrize(
    ("steps", "kinds"),
    [
        (["close"], "connect"),
        (["reset"], "connect"),
        ([b"HTTP/1.1 200 OK\r\nX-", "close"], "truncated connect"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", "half", "wait"], "truncated"),
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "half", "wait"], "truncated"),
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n", "close"], "truncated protocol"),
        ([b"hello\r\n", "close"], "protocol"),
        ([b"\x15\x03\x01\x00\x02\x02", "close"], "protocol"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nabc", "close"], "protocol"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", "close"], "protocol"),
        ([b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", "close"], "protocol connect truncated"),
        ([reply(b"x", *[f"X-{n}: y" for n in range(10_000)])], "protocol"),
        ([reply(b"x", f"X: {'x' * 700_000}")], "protocol"),
        ([reply(b"x", "Content-Encoding: made-up")], "protocol"),
        ([reply(b"x", "Content-Encoding: gzip")], "protocol truncated"),
        ([reply(gzip.compress(b"hello" * 100)[:-4], "Content-Encoding: gzip")], "truncated"),
    ],
)  # fmt: skip
def test_servers_that_talk_nonsense(get: Get, steps: list[Any], kinds: str) -> None:
    with Scripted(steps) as server:
        page = get(server.url)
        assert page.error_class in kinds.split()
        assert (page.ok, page.complete, page.body, len(server.seen)) == (False, False, b"", 1)
        assert page.error
        assert page.error.isprintable()


def test_the_body_is_capped(get: Get, lab: Lab) -> None:
    assert get(f"{lab.base}/bytes/1000", max_body=1000).ok
    for path in ("/bytes/1001", "/chunked/1001", "/gzip/1001", "/endless"):
        page = get(f"{lab.base}{path}", max_body=1000)
        assert (page.error_class, page.body) == ("too-big", b"")


def test_a_bomb_is_capped(get: Get) -> None:
    with Scripted([reply(gzip.compress(b"\0" * 20_000_000), "Content-Encoding: gzip")]) as server:
        assert get(server.url, max_body=1_000_000).error_class == "too-big"


@pytest.mark.parametrize(("method", "ok", "seen"), [("GET", True, 3), ("POST", False, 2)])
def test_a_connection_that_was_closed_meanwhile(transport: str, method: str, ok: bool, seen: int) -> None:
    """What is lost on its second use is sent again, free of charge, unless that could do something twice."""
    model = "threads" if transport == "requests" else "coroutines"
    with Scripted([reply(b"first")], ["reset"], [reply(b"again")]) as server:
        requests = [Request(server.url), Request(server.url, method, body=b"x" if method == "POST" else None)]
        one, two = fetch(requests, transport=transport, model=model, concurrency=1, ordered=True, retry=1)
        assert one.text == "first"
        assert (two.ok, two.text, two.attempts) == (ok, "again" if ok else "", 1)
        assert two.error_class == (None if ok else "connect")
        assert len(server.seen) == seen
        if not ok:
            assert two.error == (
                "the connection was closed without an answer when the POST had been sent: it may have been acted upon, so it is"
                " not sent again"
            )


@pytest.mark.parametrize("end", ["close", "reset"])
def test_a_connection_that_is_lost_each_time(transport: str, end: str) -> None:
    model = "threads" if transport == "requests" else "coroutines"
    with Scripted([reply(b"first")], [end]) as server:
        requests = [Request(server.url), Request(server.url)]
        one, two = fetch(requests, transport=transport, model=model, concurrency=1, ordered=True, retry=1)
        assert (one.ok, two.error_class, two.attempts) == (True, "connect", 1)
        assert len(server.seen) == 3  # the second goes out once more, free of charge


# ── time ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/silent", "timeout-first-byte"),
        ("/delay/60", "timeout-first-byte"),
        ("/stall/0", "timeout-stall"),
        ("/stall/100000", "timeout-stall"),
        ("/drip/100?every=0.2", "timeout-stall"),
    ],
)
def test_each_phase_has_its_timeout(get: Get, lab: Lab, path: str, kind: str) -> None:
    page = get(f"{lab.base}{path}", timeouts=QUICK, retry=AGAIN)
    assert (page.error_class, page.attempts, page.complete) == (kind, 1, False)
    assert 0.3 <= page.total_s < 4
    lab.wait_until(lambda stats: stats.open == 0)


def test_the_total_ends_what_keeps_the_pace(get: Get, lab: Lab) -> None:
    timeouts = Timeouts(5, 5, 5, total=0.4, slowest=1)
    assert get(f"{lab.base}/drip/10000?every=0.02", timeouts=timeouts).error_class == "timeout-total"
    assert get(f"{lab.base}/silent", timeout=0.3).error_class == "timeout-total"


@pytest.fixture
def full() -> Iterator[int]:
    """The port of a server with no place left in its queue: who connects is not answered at all."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        others = [socket.socket() for _ in range(4)]
        for other in others:
            other.setblocking(False)
            other.connect_ex(server.getsockname())
        yield server.getsockname()[1]
        for other in others:
            other.close()


def test_a_connection_that_does_not_come_about(get: Get, full: int) -> None:
    page = get(f"http://127.0.0.1:{full}/", timeouts=QUICK, retry=Retry(attempts=2, base=0.001))
    assert (page.error_class, page.attempts) == ("timeout-connect", 2)


# ── TLS ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_certificate_nobody_vouches_for(get: Get) -> None:
    with Scripted([reply(b"secret")], tls=True) as server:
        page = get(server.url, retry=AGAIN)
        assert (page.error_class, page.attempts, page.body) == ("tls", 1, b"")
        assert server.seen == []
        page = get(server.url, insecure=["127.0.0.1"])
        assert (page.ok, page.text) == (True, "secret")
        assert get(server.url, insecure="localhost").error_class == "tls"


@pytest.fixture
def _trusted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def forget() -> None:
        from atonce.fetch.transport.requests import _tls

        for known in (trust.ca_file, trust.context, _tls):
            known.cache_clear()

    monkeypatch.setenv("SSL_CERT_FILE", str(PEM))
    forget()
    yield
    monkeypatch.undo()
    forget()


@pytest.mark.usefixtures("_trusted")
def test_tls(get: Get, transport: str) -> None:
    with Scripted([reply(b"secret")], tls=True) as server:
        page = get(server.url)
        assert (page.ok, page.text, page.peer_ip) == (True, "secret", "127.0.0.1")
        assert (page.tls_s is not None) == (transport != "aiohttp")
        wrong = get(f"https://public.example.org:{server.port}/")
        assert wrong.error_class in ("dns", "policy")


def test_a_handshake_that_does_not_come(get: Get) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        page = get(f"https://127.0.0.1:{server.getsockname()[1]}/", timeouts=QUICK)
    assert page.error_class == "timeout-connect"


def test_plain_bytes_on_a_tls_port(get: Get) -> None:
    with Scripted([reply()]) as server:
        assert get(server.url.replace("http:", "https:"), timeouts=QUICK).error_class in ("tls", "timeout-connect")

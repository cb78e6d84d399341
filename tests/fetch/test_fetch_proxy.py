"""Through proxies: the lab's, which count what they were asked. Those that misbehave: tests/behaviours."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fetch_server import Scripted, reply

from atonce.errors import PlanError, UsageError
from atonce.fetch import Page, Request
from atonce.fetch.api import fetch
from atonce.fetch.proxy import Proxy
from atonce.lab import Lab
from atonce.lab.proxy import MODES

Get = Callable[..., Page]

HOSTS = (*MODES, "tls")


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(hosts=len(HOSTS) + 1, behaviours=HOSTS) as lab:
        yield lab


@pytest.fixture(autouse=True)
def _fresh(trusted: None, lab: Lab) -> None:
    lab.reset()


def proxy(lab: Lab, name: str = "proxy") -> str:
    return lab.url(name, "")


def asked(lab: Lab, name: str = "proxy") -> list[str]:
    host = proxy(lab, name).partition("//")[2]
    return [f"{path} x{count}" for path, count in lab.stats().hosts[host].paths.items()]


# ── what it is ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "url", "user", "password"),
    [
        ("http://p.example:3128", "http://p.example:3128", None, ""),
        ("HTTP://P.example/", "http://p.example:80", None, ""),
        ("socks5h://me:p%40w@[::1]", "socks5h://[::1]:1080", "me", "p@w"),
        ("https://me@p.example:80", "https://p.example:80", "me", ""),
    ],
)
def test_a_proxy_is_its_url(text: str, url: str, user: str | None, password: str) -> None:
    made = Proxy.of(text)
    assert (made.url, made.user, made.password) == (url, user, password)
    assert Proxy.of(made) is made
    assert pickle.loads(pickle.dumps(made)) == made
    assert "p@w" not in repr(made)


@pytest.mark.parametrize("given", ["p.example:3128", "ftp://p.example", "http://", "http://p.example/path", 7, "http://a b/"])
def test_what_is_no_proxy_is_refused(given: Any) -> None:
    with pytest.raises(UsageError, match="proxy="):
        fetch(["http://a.example/"], proxy=given)


@pytest.mark.parametrize("name", ["aiohttp", "requests"])
@pytest.mark.parametrize("scheme", ["https", "socks5h"])
def test_who_does_not_speak_to_it_says_so(name: str, scheme: str) -> None:
    with pytest.raises(PlanError, match=f"(?s)no {scheme} proxy.*'curl'"):
        fetch(["http://a.example/"], transport=name, proxy=f"{scheme}://127.0.0.1:1")


# ── through it ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_plain_requests_go_through_by_absolute_url(get: Get, lab: Lab) -> None:
    url = f"http://{lab.hosts[-1]}/echo?a=%2f|b"
    page = get(Request(url, "POST", {"X-Key": "k"}, b"body"), proxy=proxy(lab))
    assert page.ok
    assert '"target": "/echo?a=%2f|b"' in page.text
    assert '"body": "body"' in page.text
    assert "proxy" not in page.text.lower()
    assert asked(lab) == [f"POST {url} x1"]


def test_tls_goes_through_a_tunnel(get: Get, lab: Lab) -> None:
    url = lab.url("tls", "/echo")
    page = get(Request(url, headers={"X-Key": "k"}), proxy=proxy(lab))
    assert (page.ok, '"X-Key"' in page.text) == (True, True)
    assert asked(lab) == [f"CONNECT {url.split('/')[2]} x1"]
    assert page.head.startswith(b"HTTP/1.1 200 OK")


def test_a_tunnel_is_used_again(transport: str, lab: Lab) -> None:
    model = "threads" if transport == "requests" else "coroutines"
    urls = [lab.url("tls", f"/bytes/{n}") for n in range(5)]
    pages = list(fetch(urls, transport=transport, model=model, concurrency=1, ordered=True, proxy=proxy(lab)))
    assert [page.bytes for page in pages] == [0, 1, 2, 3, 4]
    assert [entry[-2:] for entry in asked(lab)] == ["x1"]


def test_it_is_the_proxy_that_looks_names_up(get: Get, lab: Lab) -> None:
    with Lab() as other:
        port = other.hosts[0].partition(":")[2]
        page = get(f"http://any.lab:{port}/bytes/5", proxy=proxy(lab))
        assert (page.ok, page.bytes) == (True, 5)
        assert asked(lab) == [f"GET http://any.lab:{port}/bytes/5 x1"]
    assert get("http://any.lab/", proxy="http://no-such-name.invalid:1").error_class == "dns"


def test_socks(lab: Lab) -> None:
    with Lab() as other:
        port = other.hosts[0].partition(":")[2]
        urls = [f"http://any.lab:{port}/bytes/5", lab.url("tls", "/bytes/6")]
        assert [page.bytes for page in fetch(urls, proxy=proxy(lab, "socks5"), ordered=True)] == [5, 6]
        assert f"SOCKS any.lab:{port} x1" in asked(lab, "socks5")  # they go out side by side


@pytest.mark.parametrize("path", ["plain", "tls"])
def test_a_password_is_for_the_proxy_alone(get: Get, lab: Lab, path: str) -> None:
    url = lab.url("tls", "/echo") if path == "tls" else f"http://{lab.hosts[-1]}/echo"
    at = proxy(lab, "proxy-auth").partition("//")[2]
    page = get(url, proxy=f"http://me:pw@{at}")
    assert page.ok
    assert "proxy" not in page.text.lower()
    assert "bWU6cHc" not in page.text
    wrong = get(url, proxy=f"http://me:wrong@{at}")
    assert wrong.error_class == ("connect" if path == "tls" else "http-4xx")
    assert "wrong" not in repr(wrong) + str(wrong.row())


def test_who_asks_for_a_tunnel_says_nothing_that_is_for_the_host(get: Get) -> None:
    headers = {"Authorization": "Bearer s3cret", "Cookie": "c=s3cret", "X-Key": "s3cret"}
    with Scripted([reply(b"no", status="403 No"), "close"]) as server:
        page = get(Request("https://a.example/x?token=s3cret", headers=headers), proxy=f"http://127.0.0.1:{server.port}")
    assert page.error_class == "connect"
    [asked] = server.seen
    assert asked.startswith(b"CONNECT a.example:443 HTTP/1.")
    assert b"s3cret" not in asked
    assert b"aiohttp" not in asked


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(("proxy", "kind"), [("127.0.0.1:1", "connect"), ("none.invalid:3128", "dns")])
def test_a_proxy_that_is_not_there_is_named(get: Get, scheme: str, proxy: str, kind: str) -> None:
    page = get(f"{scheme}://a.example/", proxy=f"http://me:s3cret@{proxy}")
    assert page.error_class == kind
    assert "proxy" in (page.error or "")
    assert proxy.partition(":")[0] in (page.error or "")
    assert "s3cret" not in (page.error or "")


def test_a_redirect_inside_is_judged_by_name(get: Get, lab: Lab) -> None:
    page = get(f"http://{lab.hosts[-1]}/redirect-to?url=http://169.254.169.254/", proxy=proxy(lab))
    assert page.error_class == "policy"
    assert len(asked(lab)) == 1

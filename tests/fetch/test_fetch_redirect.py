from __future__ import annotations

import pytest

from atonce.fetch import Request
from atonce.fetch.limits import Policy
from atonce.fetch.page import headers_of
from atonce.fetch.redirect import Refused, next_hop

POLICY = Policy()
SECRETS = (("Authorization", "a"), ("Cookie", "b"), ("X-Api-Key", "c"), ("Accept", "d"), ("Content-Type", "e"))


def follow(
    request: Request, status: int, location: str | None, policy: Policy = POLICY, number: int = 0, first: str = ""
) -> Request | None:
    headers = {} if location is None else {"location": location}
    return next_hop(request, status, headers, policy, first=Request(first) if first else request, number=number)


@pytest.mark.parametrize("status", [200, 204, 300, 304, 305, 399, 400, 503])
def test_what_is_no_redirect_is_an_answer(status: int) -> None:
    assert follow(Request("http://h.org/"), status, "/x") is None


@pytest.mark.parametrize(
    ("method", "status", "then"),
    [
        ("GET", 301, "GET"),
        ("GET", 303, "GET"),
        ("HEAD", 303, "HEAD"),
        ("HEAD", 302, "HEAD"),
        ("POST", 301, "GET"),
        ("POST", 302, "GET"),
        ("POST", 303, "GET"),
        ("POST", 307, "POST"),
        ("POST", 308, "POST"),
        ("PUT", 301, "PUT"),
        ("PUT", 303, "GET"),
        ("DELETE", 302, "DELETE"),
        ("DELETE", 303, "GET"),
    ],
)
def test_method_and_body(method: str, status: int, then: str) -> None:
    request = Request("http://h.org/", method, SECRETS, b"body")
    hop = follow(request, status, "/x")
    assert hop is not None
    assert (hop.url, hop.method) == ("http://h.org/x", then)
    kept = then == method
    assert hop.body == (b"body" if kept else None)
    assert hop.headers == (SECRETS if kept else SECRETS[:-1])


@pytest.mark.parametrize(
    "location",
    ["https://h.org/", "http://h.org:8080/", "http://sub.h.org/", "//other.org/", "http://h.org.evil.com/"],
)
def test_another_origin_gets_only_safe_headers(location: str) -> None:
    get = follow(Request("http://h.org/", headers=SECRETS), 302, location)
    assert get is not None
    assert get.headers == (("Accept", "d"),)
    post = follow(Request("http://h.org/", "POST", SECRETS, b"body"), 307, location)
    assert post is not None
    assert post.headers == (("Accept", "d"), ("Content-Type", "e"))


@pytest.mark.parametrize("location", ["/x", "http://h.org:80/x", "HTTP://H.org/x", "http://you:me@h.org/x"])
def test_the_same_origin_gets_all(location: str) -> None:
    hop = follow(Request("http://h.org/", headers=SECRETS), 302, location)
    assert hop is not None
    assert hop.headers == SECRETS


@pytest.mark.parametrize(
    ("sent", "url"),
    [
        ("/\u00e9t\u00e9?q=\u00e0".encode(), "http://h.org/%C3%A9t%C3%A9?q=%C3%A0"),
        (b"/%C3%A9", "http://h.org/%C3%A9"),
        (b"/\xe9", "http://h.org/%E9"),  # no UTF-8: the very byte
        ("http://b\u00fccher.org/".encode(), "http://xn--bcher-kva.org/"),
    ],
)
def test_beyond_ascii_the_bytes_that_were_sent_are_asked_for(sent: bytes, url: str) -> None:
    [(_, location)] = headers_of(b"HTTP/1.1 302 Found\r\nLocation: " + sent + b" \t\r\n\r\n")
    hop = follow(Request("http://h.org/"), 302, location)
    assert hop is not None
    assert hop.url == url


@pytest.mark.parametrize(
    ("location", "kind"),
    [
        (None, "protocol"),
        ("", "protocol"),
        ("ftp://h.org/", "policy"),
        ("file:///etc/passwd", "policy"),
        ("javascript:alert(1)", "policy"),
        ("/x\r\nX: y", "policy"),
        ("http://[::1", "policy"),
        ("http://localhost/", "policy"),
        ("http://127.0.0.1/", "policy"),
        ("http://127.1/", "policy"),
        ("http://0x7f000001/", "policy"),
        ("http://[::1]/", "policy"),
        ("http://[::ffff:10.0.0.1]/", "policy"),
        ("http://169.254.169.254/latest/meta-data/", "policy"),
        ("http://2852039166/", "policy"),
        ("http://metadata.google.internal/", "policy"),
        ("http://10.0.0.1/", "policy"),
        ("http://intranet/", "policy"),
    ],
)
def test_where_no_redirect_leads(location: str | None, kind: str) -> None:
    with pytest.raises(Refused) as caught:
        follow(Request("http://h.org/"), 302, location)
    assert caught.value.kind == kind


def test_private_places_are_for_those_who_wrote_them() -> None:
    inside = Request("http://127.0.0.1:8000/")
    assert follow(inside, 302, "/elsewhere")
    for elsewhere in ("http://127.0.0.1:9000/", "http://127.0.0.2:8000/", "http://169.254.169.254/"):
        with pytest.raises(Refused, match="not this URL's own host and port") as caught:
            follow(inside, 302, elsewhere)
        assert caught.value.kind == "policy"
        assert follow(inside, 302, elsewhere, Policy(allow_private=True))
    # back again from outside, to what was written
    assert follow(Request("http://h.org/"), 302, "http://127.0.0.1/", first="http://127.0.0.1/")
    with pytest.raises(Refused):
        follow(Request("http://h.org/"), 302, "http://127.0.0.1:9000/", first="http://127.0.0.1/")


def test_what_is_told_has_the_remedy_however_long_the_url_is() -> None:
    with pytest.raises(Refused, match=r"\(--allow-private\) lets it: http://127.0.0.2:8000/xxx"):
        follow(Request("http://127.0.0.1:8000/"), 302, "http://127.0.0.2:8000/" + "x" * 1000)


def test_at_most_so_many() -> None:
    request = Request("http://h.org/")
    assert follow(request, 302, "/x", number=9)
    with pytest.raises(Refused, match="more than 10 redirects"):
        follow(request, 302, "/x", number=10)
    with pytest.raises(Refused):
        follow(request, 302, "/x", Policy(max_redirects=1), number=1)
    assert follow(request, 302, "/x", Policy(max_redirects=0)) is None

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce.errors import InputError
from atonce.fetch.url import canonical, host_of, is_masked, join, origin, shown

CANONICAL = {
    "http://example.org": "http://example.org/",
    "HTTPS://Example.ORG:443/A?b#c": "https://example.org/A?b",
    "http://example.org:80": "http://example.org/",
    "http://example.org:8080?q": "http://example.org:8080/?q",
    "http://example.org:": "http://example.org/",
    " http://example.org/ ": "http://example.org/",
    "http://example.org/a/./b/../c": "http://example.org/a/c",
    "http://example.org/..": "http://example.org/",
    "http://example.org/a/.": "http://example.org/a/",
    "http://example.org/a b?c d": "http://example.org/a%20b?c%20d",
    "http://example.org/ü?ß=%C3": "http://example.org/%C3%BC?%C3%9F=%C3",
    "http://example.org/%zz|[]^": "http://example.org/%zz|[]%5E",
    "http://example.org/a\\b": "http://example.org/a%5Cb",
    "http://straße.de/": "http://xn--strae-oqa.de/",
    "http://a_b.example.org/": "http://a_b.example.org/",
    "http://127.1/": "http://127.0.0.1/",
    "http://2130706433/": "http://127.0.0.1/",
    "http://0x7f.0.0.1/": "http://127.0.0.1/",
    "http://017700000001/": "http://127.0.0.1/",
    "http://[::0:1]:8080/": "http://[::1]:8080/",
}

REFUSED = [
    "",
    "example.org",
    "/path",
    "http:/example.org",
    "http://",
    "http:///path",
    "ftp://example.org/",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "http://exa mple.org/",
    "http://exa%6dple.org/",
    "http://a\\@b/",
    "http://[fe80::1%25eth0]/",
    "http://[::1",
    "http://::1/",
    "http://1.2.3.4.5/",
    "http://1.2.3.256/",
    "http://example.org:0/",
    "http://example.org:65536/",
    "http://example.org:8x/",
    "http://example..org/",
    f"http://{'a' * 64}.org/",
    "http://example.org/\r\nX: y",
    "http://example.org/\0",
    "http://example.org/\x85",
    "http://\u2100.org/",
    "http://-a.org\n/",
]


@pytest.mark.parametrize(("text", "url"), CANONICAL.items())
def test_each_url_has_one_spelling(text: str, url: str) -> None:
    assert canonical(text) == (url, None)
    assert canonical(url) == (url, None)


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_http_url_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        canonical(text)


def test_userinfo_is_split_off() -> None:
    assert canonical("https://me:p%40ss@example.org/a") == ("https://example.org/a", "me:p%40ss")
    assert canonical("https://@example.org/a") == ("https://example.org/a", "")
    assert canonical("https://good.org@evil.org/") == ("https://evil.org/", "good.org")


def test_a_refusal_says_what_to_write_and_no_secret() -> None:
    with pytest.raises(InputError) as caught:
        canonical("example.org/?token=abc")
    assert caught.value.hint == "https:// before it"
    assert "abc" not in str(caught.value)
    with pytest.raises(InputError) as caught:
        canonical("ftp://me:secret@example.org/")
    assert "secret" not in str(caught.value)


@given(st.text())
def test_no_text_is_more_than_refused(text: str) -> None:
    for start in ("", "http://", "http://h/", "http://h/?"):
        try:
            url, _ = canonical(start + text)
        except InputError:
            continue
        assert url.isascii()
        assert url.isprintable()
        assert " " not in url
        assert canonical(url) == (url, None)


@given(st.integers(0, 2**32 - 1))
def test_an_address_is_seen_through_its_spellings(number: int) -> None:
    a, b, c, d = number.to_bytes(4, "big")
    plain = f"http://{a}.{b}.{c}.{d}/"
    for spelling in (f"{number}", f"{number:#x}", f"0{number:o}", f"{a}.{number & 0xFFFFFF}", f"{a:#x}.{b}.{c}.{d}"):
        assert canonical(f"http://{spelling}/")[0] == plain


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("http://a/", ("http", "a", 80)),
        ("https://a/x:9", ("https", "a", 443)),
        ("https://a:8443/?:1", ("https", "a", 8443)),
        ("http://[::1]/", ("http", "::1", 80)),
        ("http://[::1]:8080/]:9", ("http", "::1", 8080)),
    ],
)
def test_origin(url: str, found: tuple[str, str, int]) -> None:
    assert origin(url) == found


def test_host_of() -> None:
    assert host_of("http://a:8080/x/y") == "a:8080"
    assert host_of("http://[::1]/") == "[::1]"


@pytest.mark.parametrize(
    ("reference", "url"),
    [
        ("c", "http://h/a/c"),
        ("/c", "http://h/c"),
        ("../../c", "http://h/c"),
        ("?c", "http://h/a/b?c"),
        ("//other/c", "http://other/c"),
        ("https://other/c#d", "https://other/c"),
        ("c\udce4", "http://h/a/c%E4"),
    ],
)
def test_join(reference: str, url: str) -> None:
    assert join("http://h/a/b", reference) == (url, None)


@pytest.mark.parametrize("reference", ["file:///etc/passwd", "http://h\r\nX: y", "/\tx", "http://[::1"])
def test_join_refuses(reference: str) -> None:
    with pytest.raises((InputError, ValueError)):
        join("http://h/a", reference)


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("http://h/a?b=c", "http://h/a?b=c"),
        ("http://me:pw@h/", "http://***@h/"),
        ("http://h/?token=a&x=b&api_key=c", "http://h/?token=***&x=b&api_key=***"),
        ("http://h/?X-Amz-Signature=a&Client.Secret=b", "http://h/?X-Amz-Signature=***&Client.Secret=***"),
        ("http://h/?%74oken=a", "http://h/?%74oken=***"),
        ("http://h/?keyword=a&monkey=b&tokens=c", "http://h/?keyword=a&monkey=b&tokens=c"),
        ("http://h/?key", "http://h/?key"),
        ("http://h/?url=http://me:pw@b/x?apikey=c&x=1", "http://h/?url=http://***@b/x?apikey=***&x=1"),
        ("http://h/?http://b.example/x?apikey=c", "http://h/?http://b.example/x?apikey=***"),
        ("http://h/a;jsessionid=b/c;v=1?d;token=e;f&PHPSESSID=g", "http://h/a;jsessionid=***/c;v=1?d;token=***&PHPSESSID=***"),
        ("http://h/?sessionid=a&session_count=3", "http://h/?sessionid=***&session_count=3"),
        ("http://h/?code=a&state=b", "http://h/?code=***&state=b"),
        ("http://h/?code=KR", "http://h/?code=KR"),
        ("http://h/#access_token=a&x=1", "http://h/#access_token=***&x=1"),
        ("http://h/?a=b#id_token=c", "http://h/?a=b#id_token=***"),
        ("http://h/?to=http%3A%2F%2Fb%2F%23access_token%3Dc", "http://h/?to=http://b/%23access_token%3D***"),
        ("http://h/?data=token%3Da%26x%3D1", "http://h/?data=token%3D***%26x%3D1"),
        ("http://h/\x1b[2J", "http://h/?[2J"),
        ("//me:pw@a/b", "//***@a/b"),
        ("me:pw@a/b", "***@a/b"),
        ("http://a/?to=http%3A%2F%2Fme%3Apw%40b%2F%3Fkey%3D1", "http://a/?to=http://***%40b/%3Fkey%3D***"),
        ("http://a/?to=%2Fb%3Ftoken%3D1%26x%3D2&y=%C3%A9", "http://a/?to=/b%3Ftoken%3D***%26x%3D2&y=%C3%A9"),
        ("http://a/?to=http%3A%2F%2Fb%2F&x=1", "http://a/?to=http%3A%2F%2Fb%2F&x=1"),
    ],
)
def test_shown(url: str, text: str) -> None:
    assert shown(url) == text
    assert is_masked(text) == ("***" in text and "//" in text)


@pytest.mark.parametrize("url", ["http://h/?q=***", "http://h/***", "http://me:a***@h/?token=b***", "http://h/?***=1"])
def test_stars_that_stand_for_nothing(url: str) -> None:
    assert not is_masked(url)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("example.org/a b", None),
        ("example.org/a?b", "https://example.org/a?b"),
        ("//example.org/a", "https://example.org/a"),
        ("not a url", None),
        ("not-a-url!", None),
        ("/etc/passwd", None),
        ("a..b", None),
        ("example.org/" + "a" * 100, "https:// before it"),
    ],
)
def test_a_remedy_is_what_would_be_accepted(text: str, hint: str | None) -> None:
    with pytest.raises(InputError, match="has no scheme") as refused:
        canonical(text)
    assert refused.value.hint == hint
    if hint is not None:
        canonical(hint if " " not in hint else f"https://{text}")

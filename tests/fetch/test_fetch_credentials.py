"""Headers for some hosts, from files that nobody else can read; cookies, where they are asked for."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from atonce.errors import UsageError
from atonce.fetch import Page, Request
from atonce.fetch import cookies as cookies_
from atonce.fetch.api import fetch
from atonce.fetch.cookies import Cookies
from atonce.fetch.credentials import Credentials
from atonce.lab import Lab

Get = Callable[..., Page]
SECRET = "s3cret"


def private(path: Path, text: str) -> str:
    path.write_text(text)
    path.chmod(0o600)
    return str(path)


@pytest.fixture
def credentials(tmp_path: Path) -> Credentials:
    text = f"""
        # of ours
        [API.example.org]
        Authorization: Bearer {SECRET}
        X-Key: k: with a colon
        [*.example.com]
        X-Key: below
        [one.example.com]
        X-Key: one
        [127.0.0.1:8080]
        X-Key: local
        [[::1]:8080]
        X-Key: six
    """
    return Credentials.read(private(tmp_path / "headers", text))


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("https://api.example.org/a", "k: with a colon"),
        ("http://api.example.org:80/a", "k: with a colon"),
        ("https://api.example.org:8443/a", None),
        ("https://api.example.org.evil.example/a", None),
        ("https://x.api.example.org/a", None),
        ("https://a.b.example.com/", "below"),
        ("https://one.example.com/", "one"),
        ("https://example.com/", None),
        ("https://evilexample.com/", None),
        ("http://127.0.0.1:8080/", "local"),
        ("http://127.1:8080/", "local"),
        ("http://127.0.0.1/", None),
        ("http://[::1]:8080/", "six"),
    ],
)
def test_who_is_told_what(credentials: Credentials, url: str, key: str | None) -> None:
    assert dict(credentials.added_to(Request(url)).headers).get("X-Key") == key


def test_what_a_request_says_itself_counts(credentials: Credentials) -> None:
    request = credentials.added_to(Request("https://me:pw@api.example.org/", headers={"x-key": "own"}))
    assert [name for name, _ in request.headers] == ["x-key", "Authorization"]
    assert dict(request.headers)["Authorization"].startswith("Basic ")


def test_nothing_of_it_is_shown(credentials: Credentials) -> None:
    assert SECRET not in repr(credentials) + repr(credentials.added_to(Request("https://api.example.org/")))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("X-Key: k", "line 1: a header of no host"),
        ("[a.example]\nX-Key", "line 2: neither a host in brackets nor a header"),
        ("[a.example\n", "line 1: [a.example is no host in brackets"),
        ("[https://a.example/]", "is no host in brackets"),
        ("[me@a.example]", "is no host in brackets"),
        ("[*]", "is no host in brackets"),
        ("[a..example]", "is no host in brackets"),
        ("[a.example]\n[A.example]", "line 2: a.example is there twice"),
        ("[a.example]\nX Key: k", "line 2: "),
        ("[a.example]\nHost-\u00e9: k", "line 2: "),
        ("[a.example]\nContent-Length: 3", "is not yours to set"),
        ("[a.example]\nX-Level: ***\nX-Key: ***", "line 3: the value of the header X-Key is *** for a secret"),
    ],
)
def test_a_file_that_is_wrong_says_where(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(UsageError) as error:
        Credentials.read(private(tmp_path / "headers", text))
    assert why in str(error.value)


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "headers"
    path.write_text("[a.example]\nX-Key: k\n")
    path.chmod(0o640)
    with pytest.raises(UsageError, match=r"can be read by others \(mode 640\)(.|\n)*chmod 600"):
        Credentials.read(str(path))
    with pytest.raises(UsageError, match="No such file"):
        Credentials.read(str(tmp_path / "none"))


def test_netrc_is_for_exact_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = f"machine a.example login me password {SECRET}\ndefault login you password other\n"
    monkeypatch.setenv("NETRC", private(tmp_path / "netrc", text))
    found = Credentials.read(use_netrc=True)
    assert found.added_to(Request("https://a.example/")).headers == Request(f"https://me:{SECRET}@a.example/").headers
    for url in ("https://b.a.example/", "https://example/"):
        assert found.added_to(Request(url)).headers == ()
    assert not Credentials.read()


@pytest.mark.parametrize(("text", "mode", "why"), [("machine", 0o600, "line 1"), ("", 0o644, "can be read by others")])
def test_a_netrc_that_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, mode: int, why: str) -> None:
    path = tmp_path / "netrc"
    path.write_text(text)
    path.chmod(mode)
    monkeypatch.setenv("NETRC", str(path))
    with pytest.raises(UsageError, match=why):
        Credentials.read(use_netrc=True)


# ── cookies ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def told(cookies: Cookies, url: str) -> str | None:
    return dict(cookies.headers(url)).get("Cookie")


@pytest.mark.parametrize(
    ("said", "url", "sent"),
    [
        ("a=1", "http://www.example.org/", "a=1"),
        ("a=1", "http://other.example.org/", None),
        ("a=1; Domain=example.org", "http://other.example.org/", "a=1"),
        ("a=1; Domain=example.com", "http://www.example.com/", None),
        ("a=1; Domain=org", "http://other.org/", None),
        ("a=1; Path=/b", "http://www.example.org/a", None),
        ("a=1; Secure", "http://www.example.org/", None),
        ("a=1; Secure", "https://www.example.org/", "a=1"),
        ("a=1; Max-Age=0", "http://www.example.org/", None),
    ],
)
def test_who_gets_a_cookie_back(said: str, url: str, sent: str | None) -> None:
    cookies = Cookies()
    cookies.learn("http://www.example.org/", (("Set-Cookie", said),))
    assert told(cookies, url) == sent


def test_cookies_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cookies_, "MOST", 10)
    cookies = Cookies()
    for number in range(11):
        cookies.learn(f"http://{number}.example/", (("set-cookie", "a=1"),))
    assert [told(cookies, f"http://{number}.example/") for number in (0, 9, 10)] == [None, None, "a=1"]


def test_a_copy_has_none() -> None:
    cookies = Cookies()
    cookies.learn("http://a.example/", (("set-cookie", f"a={SECRET}"),))
    assert told(pickle.loads(pickle.dumps(cookies)), "http://a.example/") is None
    assert SECRET not in repr(cookies)


def test_cookies_go_along_where_they_are_asked_for(get: Get, lab: Lab) -> None:
    assert '"Cookie"' not in get(f"{lab.base}/cookie").text
    page = get(f"{lab.base}/cookie", cookies=True)
    assert page.ok
    assert page.text.count('"Cookie"') == 1
    assert "foreign" not in page.text


def test_a_cookie_of_the_users_own_counts(get: Get, lab: Lab) -> None:
    page = get(Request(f"{lab.base}/cookie", headers={"Cookie": "mine=1"}), cookies=True)
    assert "mine=1" in page.text
    assert page.text.count("=") == 1


def test_neither_yes_nor_no() -> None:
    with pytest.raises(UsageError, match="cookies="):
        fetch(["http://a.example/"], cookies="yes")

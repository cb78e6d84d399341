from __future__ import annotations

import pickle
from typing import Any

import pytest

from atonce.errors import InputError
from atonce.fetch import Request


def test_a_url_is_enough() -> None:
    request = Request("HTTP://Example.org")
    assert (request.url, request.method, request.headers, request.body) == ("http://example.org/", "GET", (), None)
    assert request.host == "example.org"
    assert request == Request.of("http://example.org/")
    assert pickle.loads(pickle.dumps(request)) == request


def test_everything_else_is_kept_in_one_form() -> None:
    request = Request("http://h/", "post", {"X-A": " b "}, "bödy")  # type: ignore[arg-type]
    assert request.method == "POST"
    assert request.headers == (("X-A", "b"),)
    assert request.body == "bödy".encode()
    assert Request.of({"url": "http://h/", "method": "POST", "headers": [["X-A", "b"]], "body": "bödy"}) == request


def test_userinfo_becomes_a_header_and_is_not_shown() -> None:
    request = Request("http://me:p%40ss@h/?token=abc", headers=(("X-Key", "hidden"),))
    assert request.url == "http://h/?token=abc"
    assert request.headers[1] == ("Authorization", "Basic bWU6cEBzcw==")
    assert repr(request) == "<Request GET http://h/?token=*** with X-Key, Authorization>"
    own = Request("http://me:pass@h/", headers=(("authorization", "Bearer x"),))
    assert own.headers == (("authorization", "Bearer x"),)


@pytest.mark.parametrize(
    "given",
    [
        None,
        7,
        {"method": "GET"},
        {"url": 7},
        {"url": "nonsense"},
        {"url": "http://h/", "method": "GET /"},
        {"url": "http://h/", "method": "CONNECT"},
        {"url": "http://h/", "headers": "X: y"},
        {"url": "http://h/", "headers": {"X Y": "z"}},
        {"url": "http://h/", "headers": {"X": "y\r\nZ: z"}},
        {"url": "http://h/", "headers": {"X": "ü"}},
        {"url": "http://h/", "headers": {"X": 1}},
        {"url": "http://h/", "headers": {"Content-Length": "5"}},
        {"url": "http://h/", "headers": {"transfer-encoding": "chunked"}},
        {"url": "http://h/", "body": 7},
    ],
)
def test_what_cannot_be_sent_as_it_is_meant_is_refused(given: Any) -> None:
    with pytest.raises(InputError):
        Request.of(given)


@pytest.mark.parametrize(("method", "twice"), [("GET", True), ("PUT", True), ("POST", False), ("PATCH", False)])
def test_is_idempotent(method: str, twice: bool) -> None:
    assert Request("http://h/", method).is_idempotent is twice

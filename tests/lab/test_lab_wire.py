from __future__ import annotations

import pytest

from atonce.lab.wire import BadRequest, awaits_continue, chunk, reply, reply_head, take

SIMPLE = b"GET /a/2?n=1&m=x HTTP/1.1\r\nHost: h\r\nX-Y:  z \r\n\r\n"
WITH_BODY = b"POST /p HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = b"POST /c HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n2;ext=1\r\nde\r\n0\r\n\r\n"
TRAILERS = CHUNKED[:-2] + b"T: 1\r\n\r\n"


def test_a_request_is_taken_apart() -> None:
    request = take(bytearray(SIMPLE))
    assert request is not None
    assert (request.method, request.path, request.target) == (b"GET", b"/a/2", b"/a/2?n=1&m=x")
    assert request.query == {"n": "1", "m": "x"}
    assert request.headers == [("Host", "h"), ("X-Y", "z")]
    assert (request.part(0), request.number(1), request.number(2, 7)) == ("a", 2, 7)
    with pytest.raises(ValueError):
        request.number(0)
    with pytest.raises(ValueError):
        request.part(2)


@pytest.mark.parametrize(("data", "body"), [(SIMPLE, b""), (WITH_BODY, b"hello"), (CHUNKED, b"abcde"), (TRAILERS, b"abcde")])
def test_a_request_is_taken_when_its_last_byte_is_there_and_not_before(data: bytes, body: bytes) -> None:
    buffer = bytearray()
    for byte in data[:-1]:
        buffer.append(byte)
        assert take(buffer) is None
    buffer += data[-1:] + b"GET /next"
    request = take(buffer)
    assert request is not None
    assert request.body == body
    assert buffer == b"GET /next"


@pytest.mark.parametrize(
    ("first_line", "header", "keeps"),
    [
        ("GET / HTTP/1.1", "A: b", True),
        ("GET / HTTP/1.1", "Connection: close", False),
        ("GET / HTTP/1.1", "connection: Close", False),
        ("GET / HTTP/1.0", "A: b", False),
        ("GET / HTTP/1.0", "Connection: Keep-Alive", True),
    ],
)
def test_who_keeps_the_connection(first_line: str, header: str, keeps: bool) -> None:
    request = take(bytearray(f"{first_line}\r\n{header}\r\n\r\n".encode()))
    assert request is not None
    assert request.keep_alive is keeps


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense\r\n\r\n",
        b"GET / SPDY/3\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1e3\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"x" * (1 << 20) + b"x",
    ],
)
def test_what_is_no_request_is_refused(data: bytes) -> None:
    with pytest.raises(BadRequest):
        take(bytearray(data))


def test_only_a_body_held_back_awaits_continue() -> None:
    head = b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n"
    assert not awaits_continue(bytearray(head))
    assert awaits_continue(bytearray(head + b"\r\n"))
    assert not awaits_continue(bytearray(WITH_BODY[:-1]))


def test_replies() -> None:
    assert reply(200, b"hi") == b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi"
    assert reply(204, b"dropped") == b"HTTP/1.1 204 No Content\r\n\r\n"
    assert reply_head(299, ("A", "b")) == b"HTTP/1.1 299 Unknown\r\nA: b\r\n\r\n"
    assert chunk(b"x" * 16) == b"10\r\n" + b"x" * 16 + b"\r\n"
    with pytest.raises(ValueError):
        reply_head(302, ("Location", "/\r\nSet-Cookie: a=b"))

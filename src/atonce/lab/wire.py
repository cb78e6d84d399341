"""HTTP/1.1 as bytes: cutting one request off a buffer, putting one reply together. No socket here.

Parsed is what the server needs and no more: a client that sends nonsense gets nonsense. The headers are taken apart
only for those who ask (`Request.headers`).
"""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import parse_qs

__all__ = ["BadRequest", "Request", "awaits_continue", "chunk", "reply", "reply_head", "take"]

MAX_HEAD = 1 << 20
MAX_BODY = 16 << 20
LAST_CHUNK = b"0\r\n\r\n"


class BadRequest(ValueError):
    """Not a request this server reads: answered 400, and the connection is closed."""


class Request:
    """One request as read. `target` is the path with its query, as it was sent; `path` is without.

    `is_control`: it is about the server itself (`/__stats`), to be answered at once and not counted. `asked` is the
    target before `become`.
    """

    __slots__ = ("asked", "body", "head", "is_control", "keep_alive", "method", "path", "target")

    def __init__(self, method: bytes, target: bytes, keep_alive: bool, head: bytes, body: bytes) -> None:
        self.method = method
        self.target = self.asked = target
        self.path = target.partition(b"?")[0]
        self.is_control = target.startswith(b"/__")
        self.keep_alive = keep_alive
        self.head = head
        self.body = body

    def become(self, target: bytes) -> None:
        """Mean another target: the host answers every path by it."""
        self.target = target
        self.path = target.partition(b"?")[0]

    @property
    def headers(self) -> list[tuple[str, str]]:
        """The header lines in the order they came, names as they were written."""
        lines = self.head.decode("latin-1").split("\r\n")[1:]
        pairs = (line.partition(":") for line in lines)
        return [(name, value.strip()) for name, _, value in pairs]

    @property
    def query(self) -> dict[str, str]:
        query = self.target.partition(b"?")[2].decode("latin-1")
        return {name: values[-1] for name, values in parse_qs(query, keep_blank_values=True).items()}

    def part(self, index: int, default: str | None = None) -> str:
        """A segment of the path: of `/flaky/2/a`, 0 is "flaky" and 1 is "2"."""
        parts = self.path.decode("latin-1").split("/")[1:]
        if index < len(parts) and parts[index]:
            return parts[index]
        if default is None:
            raise ValueError(f"{self.path.decode('latin-1')} lacks a part")
        return default

    def number(self, index: int, default: int | None = None) -> int:
        """A segment of the path that is a count, 0 or more."""
        text = self.part(index, None if default is None else str(default))
        if not (text.isascii() and text.isdigit()):
            raise ValueError(f"{text!r} in {self.path.decode('latin-1')} is not a number, 0 or more")
        return int(text)


def take(buffer: bytearray) -> Request | None:
    """Cut the first whole request off `buffer`, or leave it alone and return None while more has to come."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        if len(buffer) > MAX_HEAD:
            raise BadRequest(f"no end of the headers within {MAX_HEAD} bytes")
        return None
    head = bytes(buffer[:end])
    lower = head.lower()
    body, after = b"", end + 4
    if b"\r\ncontent-length:" in lower or b"\r\ntransfer-encoding:" in lower:
        found = _take_body(buffer, after, lower)
        if found is None:
            return None
        body, after = found
    del buffer[:after]
    words = head.partition(b"\r\n")[0].split(b" ")
    if len(words) != 3 or not words[2].startswith(b"HTTP/1."):
        raise BadRequest("the first line is not `METHOD target HTTP/1.x`")
    if words[2] == b"HTTP/1.0":
        keep_alive = b"\r\nconnection: keep-alive" in lower
    else:
        keep_alive = b"\r\nconnection: close" not in lower
    return Request(words[0], words[1], keep_alive, head, body)


def awaits_continue(buffer: bytearray) -> bool:
    """Whether the client holds its body back until it is told `100 Continue`."""
    head, end, rest = buffer.partition(b"\r\n\r\n")
    return bool(end) and not rest and b"\r\nexpect: 100-continue" in head.lower()


def _take_body(buffer: bytearray, start: int, lower: bytes) -> tuple[bytes, int] | None:
    fields = dict(line.partition(b":")[::2] for line in lower.split(b"\r\n")[1:])
    if b"chunked" in fields.get(b"transfer-encoding", b""):
        return _take_chunks(buffer, start)
    after = start + _size(fields.get(b"content-length", b"0"), 10)
    return None if len(buffer) < after else (bytes(buffer[start:after]), after)


def _take_chunks(buffer: bytearray, at: int) -> tuple[bytes, int] | None:
    body = bytearray()
    while (end := buffer.find(b"\r\n", at)) >= 0:
        size = _size(bytes(buffer[at:end]).partition(b";")[0], 16)
        if size == 0:
            last = buffer.find(b"\r\n\r\n", end)  # trailers, if any, are skipped
            return None if last < 0 else (bytes(body), last + 4)
        at = end + 2 + size + 2
        body += buffer[end + 2 : at - 2]
        if len(body) > MAX_BODY:
            raise BadRequest(f"a body of more than {MAX_BODY} bytes")
    return None


def _size(text: bytes, base: int) -> int:
    try:
        size = int(text, base)
    except ValueError:
        size = -1
    if not 0 <= size <= MAX_BODY:
        raise BadRequest(f"{text!r} is not a size from 0 to {MAX_BODY}")
    return size


def reply_head(status: int, *headers: tuple[str, str], size: int | None = None) -> bytes:
    """Status line and headers with the blank line; `size` adds Content-Length."""
    if size is not None:
        headers = (*headers, ("Content-Length", str(size)))
    lines = [f"HTTP/1.1 {status} {_reason(status)}", *(f"{name}: {value}" for name, value in headers)]
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("a line break in a header")
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "xmlcharrefreplace")


def reply(status: int, body: bytes = b"", *headers: tuple[str, str], kind: str = "text/plain") -> bytes:
    """A whole reply that keeps the connection; 204 and 304 go without a body."""
    if status in (204, 304):
        return reply_head(status, *headers)
    return reply_head(status, ("Content-Type", kind), *headers, size=len(body)) + body


def chunk(data: bytes) -> bytes:
    """`data` as one chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"

"""What came of a request: `Page`, one frozen value for success and failure alike."""

from __future__ import annotations

import codecs
import functools
import hashlib
import re
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from .url import shown

if TYPE_CHECKING:
    from ..sink.spool import Stored
    from .request import Request

__all__ = ["COLUMNS", "Hop", "Page", "headers_of", "plain_page", "shown_headers"]

# The row of a page, in the outputs that are tables. A test holds it against `Page.row`. `same_as` is the command line's: of a
# request that was listed before, the index of the row that has its answer.
COLUMNS: dict[str, Literal["int", "float", "bool", "text", "json", "bytes"]] = {
    "url": "text",
    "method": "text",
    "final_url": "text",
    "status": "int",
    "error_class": "text",
    "error": "text",
    "attempts": "int",
    "started_at": "float",
    "dns_s": "float",
    "connect_s": "float",
    "tls_s": "float",
    "first_byte_s": "float",
    "total_s": "float",
    "http_version": "text",
    "peer_ip": "text",
    "content_type": "text",
    "bytes": "int",
    "sha256": "text",
    "complete": "bool",
    "same_as": "int",
    "headers": "json",
    "body": "bytes",
}

_LEADING = frozenset({"content-location", "link", "location", "refresh"})
_LEADS = re.compile(rb"(?i)\n(?:content-location|link|location|refresh):")
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w.:+-]+)", re.IGNORECASE)

_SPACE = " \t\r\n"  # not what Unicode calls so: in UTF-8, à ends with such a byte

Bytes = bytes  # a page has a field of that name


class Hop(NamedTuple):
    """What was answered by a redirect that was followed: the request as it was sent, and the answer."""

    request: Request
    head: bytes
    body: bytes
    peer_ip: str | None


class Page(NamedTuple):
    """The answer to one request, or why there is none.

    - `index`: which request, from 0; `url`, `method`: as asked; `final_url`: where redirects led.
    - `status`: of the last answer, None if none came. `ok`: an answer under 400 arrived whole.
    - `error_class`, `error`: None, or the class of failure (see `atonce.fetch.failure`) and a sentence.
    - `attempts`: starts in all. What follows is of the last one: `started_at` (seconds since 1970), and in seconds
      `dns_s`, `connect_s`, `tls_s` (None where there was no such step, as on a connection that was open already;
      aiohttp's `connect_s` has TLS in it), `first_byte_s` and `total_s`, both from its start.
    - `peer_ip`: the address it was connected to. `head`: the status line and headers of the last answer as they arrived;
      `http_version` ("1.1", "2", …), `content_type` and `headers` (pairs) are read from it.
    - `body`: decompressed; empty when not `complete`. `bytes`: how many of it arrived. `sha256`: of the body.
      `stored`: where the body of a page that goes into an output has been put; `body` is empty then.
    - `hops`: with `raw`, what was answered by redirects before; else it is empty.
    - `crawl_delay`: seconds between requests that the host's robots.txt asks for, 0 for none; None where it is not known.

    URLs are kept as they are; `row()` and `repr` show them without secrets.
    """

    url: str
    method: str
    final_url: str
    status: int | None = None
    error_class: str | None = None
    error: str | None = None
    started_at: float = 0.0
    dns_s: float | None = None
    connect_s: float | None = None
    tls_s: float | None = None
    first_byte_s: float | None = None
    total_s: float = 0.0
    peer_ip: str | None = None
    head: Bytes = b""
    body: Bytes = b""
    bytes: int = 0
    complete: bool = False
    stored: Stored | None = None
    crawl_delay: float | None = None
    hops: tuple[Hop, ...] = ()
    index: int = -1  # type: ignore[assignment]  # not tuple's method of that name
    attempts: int = 1  # this and the index stay the last: see `numbered`

    @property
    def ok(self) -> bool:
        return self.error_class is None

    @property
    def http_version(self) -> str | None:
        return self.head[5 : self.head.find(b" ")].decode("latin-1") or None

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """(name, value) in the order and spelling of the server."""
        return headers_of(self.head)

    @property
    def content_type(self) -> str | None:
        return _content_type(self.head)

    @property
    def sha256(self) -> str | None:
        """Of the whole body; None if it is not there. Worked out on each call."""
        if self.stored is not None:
            return self.stored.sha256
        return hashlib.sha256(self.body).hexdigest() if self.complete else None

    @property
    def text(self) -> str:
        """The body as text, by the charset of its media type, else as UTF-8; what cannot be decoded is `\\ufffd`."""
        found = _CHARSET.search(self.content_type or "")
        try:
            charset = codecs.lookup(found[1]) if found else codecs.lookup("utf-8")
            return self.body.decode(charset.name, "replace")
        except LookupError:  # no such charset, or a codec that is none of text
            return self.body.decode("utf-8", "replace")

    def numbered(self, index: int, attempts: int) -> Page:
        """The page with these two, which the near side knows for certain, and not every transport."""
        if self.index == index and self.attempts == attempts:
            return self
        return Page._make((*self[:-2], index, attempts))

    def around_body(self) -> tuple[tuple[Any, ...], Bytes, tuple[Any, ...]]:
        """The fields before the body, the body, those behind it: it may travel by another way."""
        return self[:_BODY], self.body, self[_BODY + 1 :]

    def row(self, sha256: str | None = None) -> dict[str, Any]:
        """The row that every output has of a page, without `path`, `body` and `headers`. No secrets are in it. `sha256` is that
        of the body, where it is known."""
        url = shown(self.url)
        return {
            "index": self.index,
            "url": url,
            "method": self.method,
            "final_url": url if self.final_url == self.url else shown(self.final_url),
            "status": self.status,
            "ok": self.ok,
            "error_class": self.error_class,
            "error": self.error,
            "attempts": self.attempts,
            "started_at": self.started_at,
            "dns_s": self.dns_s,
            "connect_s": self.connect_s,
            "tls_s": self.tls_s,
            "first_byte_s": self.first_byte_s,
            "total_s": self.total_s,
            "http_version": self.http_version,
            "peer_ip": self.peer_ip,
            "content_type": self.content_type,
            "bytes": self.bytes,
            "sha256": sha256 or self.sha256,
            "complete": self.complete,
        }

    def __repr__(self) -> str:
        what = f"{self.status}" if self.error_class is None else f"{self.error_class}: {self.error}"
        return f"<Page {self.index} {self.method} {shown(self.url)} {what}, {self.bytes} bytes>"


_BODY = Page._fields.index("body")

Times = tuple[float, float | None, float | None, float | None, float | None, float]  # from started_at to total_s


def plain_page(
    url: str, method: str, status: int, times: Times, peer_ip: str | None, head: bytes, body: bytes, index: int
) -> Page:
    """The page of an answer that came whole from the URL asked for."""
    fields = (url, method, url, status, None, None, *times, peer_ip, head, body, len(body), True, None, None, (), index, 1)
    page: Page = tuple.__new__(Page, fields)  # as `Page(…)`, at a third of its cost
    return page


def shown_headers(page: Page) -> tuple[tuple[str, str], ...]:
    """The headers of a page as they may be shown and recorded: no secrets in the URLs that they name."""
    return _shown_headers(page.head)


_of_a_few = functools.lru_cache(8)  # a page is asked more than once, and pages of one server may have the same head


@_of_a_few
def _shown_headers(head: bytes) -> tuple[tuple[str, str], ...]:
    headers = headers_of(head)
    if not _LEADS.search(head):
        return headers
    return tuple((name, shown(value) if name.lower() in _LEADING else value) for name, value in headers)


@_of_a_few
def _content_type(head: bytes) -> str | None:
    return next((value for name, value in headers_of(head) if name.lower() == "content-type"), None)


@_of_a_few
def headers_of(head: bytes) -> tuple[tuple[str, str], ...]:
    """The pairs in a block of status line and headers. Beyond ASCII, bytes are read as Latin-1; folded lines are joined."""
    pairs: list[tuple[str, str]] = []
    for line in head.decode("latin-1").split("\n")[1:]:
        if line[:1] in (" ", "\t") and pairs:
            name, value = pairs.pop()
            pairs.append((name, f"{value} {line.strip(_SPACE)}".strip(_SPACE)))
        elif ":" in line:
            name, _, value = line.partition(":")
            pairs.append((name.strip(_SPACE), value.strip(_SPACE)))
    return tuple(pairs)

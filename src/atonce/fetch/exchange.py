"""What went over the wire for a page, for an archive: `exchange_of`."""

from __future__ import annotations

from ..sink.row import Exchange
from .attempt import headers_to_send
from .decode import encodings
from .limits import Policy
from .page import Hop, Page, headers_of
from .redirect import next_hop
from .request import Request
from .secret import is_secret
from .url import canonical, host_of, shown

__all__ = ["exchange_of"]


def exchange_of(page: Page, request: Request) -> Exchange | None:
    """The last hop and those before it: their requests, and their answers; None where none came whole.

    The heads are the servers', to the byte but for secrets in the URLs that redirects lead to. The requests are put together
    from what was asked for, since libraries send them without telling: secrets in their URLs and headers are `***`.
    """
    if not page.complete or page.status is None:
        return None
    last = _exchange(page, _last(page, request), page.head, page.peer_ip)
    return last._replace(hops=tuple(_hop(page, hop) for hop in page.hops)) if page.hops else last


def _hop(page: Page, hop: Hop) -> tuple[Exchange, bytes]:
    head = b"\n".join(map(_without_secrets, hop.head.split(b"\n")))
    body = hop.body if head == hop.head else b""  # most quote where they lead to
    return _exchange(page, hop.request, head, hop.peer_ip), body


def _without_secrets(line: bytes) -> bytes:
    name, colon, value = line.partition(b":")
    if name.strip().lower() != b"location":
        return line
    url = value.decode("latin-1").strip()
    return line if shown(url) == url else name + colon + b" " + shown(url).encode("latin-1", "replace") + b"\r"


def _last(page: Page, request: Request) -> Request:
    """What the answer in the page is an answer to."""
    if not page.hops:
        return request
    before = page.hops[-1]
    headers = {name.lower(): value for name, value in reversed(headers_of(before.head))}
    status = int(before.head.split(None, 2)[1])
    hop = next_hop(before.request, status, headers, Policy(allow_private=True), first=request, number=0)
    assert hop is not None  # it was followed
    return hop


def _exchange(page: Page, request: Request, head: bytes, peer_ip: str | None) -> Exchange:
    headers = {name.lower(): value for name, value in headers_of(head)}
    chunked = "chunked" in headers.get("transfer-encoding", "").lower() and request.method != "HEAD"
    return Exchange(shown(request.url), _request(request), head, peer_ip, page.started_at, chunked)


def _request(request: Request) -> bytes:
    url, _ = canonical(shown(request.url).replace("://***@", "://"))
    path = "/" + url.split("/", 3)[3]
    pairs = [("Host", host_of(url)), *headers_to_send(request, Policy(), encodings())]
    body = request.body or b""
    if body:
        pairs.append(("Content-Length", str(len(body))))
    lines = [f"{request.method} {path} HTTP/1.1"]
    lines += [f"{name}: {'***' if is_secret(name) else value}" for name, value in pairs]
    return "\r\n".join([*lines, "", ""]).encode("ascii", "replace") + body

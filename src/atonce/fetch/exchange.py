"""What went over the wire for a page, for an archive: `exchange_of`."""

from __future__ import annotations

from ..sink.row import Exchange
from .attempt import headers_to_send
from .decode import ENCODINGS
from .limits import Policy
from .page import Page
from .request import Request
from .secret import is_secret
from .url import canonical, host_of, shown

__all__ = ["exchange_of"]


def exchange_of(page: Page, request: Request) -> Exchange | None:
    """The last hop: its request, as far as it is known, and its answer; None where none came whole.

    The head is the server's, to the byte. The request is put together from what was asked for, since libraries send it
    without telling: secrets in its URL and headers are `***`. After a redirect only what is certain is in it.
    """
    if not page.complete or page.status is None:
        return None
    headers = {name.lower(): value for name, value in page.headers}
    chunked = "chunked" in headers.get("transfer-encoding", "").lower() and page.method != "HEAD"
    return Exchange(shown(page.final_url), _request(page, request), page.head, page.peer_ip, page.started_at, chunked)


def _request(page: Page, request: Request) -> bytes:
    url, _ = canonical(shown(page.final_url).replace("://***@", "://"))
    path = "/" + url.split("/", 3)[3]
    if page.final_url == request.url:
        pairs = [("Host", host_of(url)), *headers_to_send(request, Policy(), ENCODINGS)]
        body = request.body or b""
        if body:
            pairs.append(("Content-Length", str(len(body))))
    elif page.method in ("GET", "HEAD"):
        pairs, body = [("Host", host_of(url))], b""
    else:
        return b""
    lines = [f"{page.method} {path} HTTP/1.1"]
    lines += [f"{name}: {'***' if is_secret(name) else value}" for name, value in pairs]
    return "\r\n".join([*lines, "", ""]).encode("ascii", "replace") + body

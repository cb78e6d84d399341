"""Paths that lead somewhere else than they seem: redirects, names for files, cookies, robots.txt.

`atonce.lab.table` says how one is written.
"""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING

from .behaviours import anything, drip
from .table import behaviour
from .wire import Request, reply

if TYPE_CHECKING:
    from .connection import Connection

__all__ = ["INSIDE"]

# Places that no redirect of a public server should lead to, as people have spelt them to get past a check: the
# metadata service of clouds, loopback, other schemes.
INSIDE = (
    "http://169.254.169.254/latest/meta-data/",
    "http://[::ffff:169.254.169.254]/latest/meta-data/",
    "http://[64:ff9b::a9fe:a9fe]/latest/meta-data/",
    "http://2852039166/latest/meta-data/",
    "http://0xa9.0xfe.0xa9.0xfe/latest/meta-data/",
    "http://0251.0376.0251.0376/latest/meta-data/",
    "http://metadata.google.internal/",
    "http://127.1:9/",
    "http://0x7f.1:9/",
    "http://017700000001:9/",
    "http://localhost:9/",
    "http://[::1]:9/",
    "http://0.0.0.0:9/",
    "http://10.0.0.1/",
    "http://192.168.0.1/",
    "file:///etc/passwd",
    "ftp://127.0.0.1/",
    "gopher://127.0.0.1:9/",
    "data:text/plain,fine",
    "javascript:alert(1)",
)


@behaviour("/redirect-loop")
def redirect_loop(request: Request, to: Connection) -> bytes:
    """A redirect (302) to itself."""
    return reply(302, b"", ("Location", request.asked.decode("latin-1")))


@behaviour("/redirect-nowhere")
def redirect_nowhere(request: Request, to: Connection) -> bytes:
    """A redirect (302) without a Location."""
    return reply(302)


@behaviour("/redirect-inside/K")
def redirect_inside(request: Request, to: Connection) -> bytes:
    """A redirect to one of the places that none should lead to, in the odd spellings people use: number K of the list."""
    return reply(302, b"", ("Location", INSIDE[request.number(1, 0) % len(INSIDE)]))


@behaviour("/redirect-split")
def redirect_split(request: Request, to: Connection) -> None:
    """A redirect whose Location has a bare carriage return and a header behind it."""
    to.write(b"HTTP/1.1 302 Found\r\nLocation: /a\rX-Injected: yes\r\nContent-Length: 0\r\n\r\n")
    to.done()


@behaviour("/redirect-across?status=302")
def redirect_across(request: Request, to: Connection) -> bytes:
    """A redirect to /echo on the next host, which shows what it was sent."""
    hosts = [host.name for host in to.server.hosts]
    other = hosts[(hosts.index(to.host.name) + 1) % len(hosts)]
    return reply(int(request.query.get("status", "302")), b"", ("Location", f"http://{other}/echo"))


@behaviour("/disposition")
def disposition(request: Request, to: Connection) -> bytes:
    """A body with a Content-Disposition whose file name leads out of any folder."""
    return reply(200, b"fine", ("Content-Disposition", 'attachment; filename="../../../../etc/passwd"'))


@behaviour("/cookie")
def cookie(request: Request, to: Connection) -> bytes:
    """Sets cookies, one of them for a foreign domain and one for all of .com, and redirects to /echo."""
    cookies = ("mine=1; Path=/", "foreign=1; Domain=example.org; Path=/", "all=1; Domain=com; Path=/")
    return reply(302, b"", *(("Set-Cookie", value) for value in cookies), ("Location", "/echo"))


@behaviour("/robots/KIND")
def robots(request: Request, to: Connection) -> bytes | None:
    """For a host: its /robots.txt is one of deny (/private), delay (0.05 s), 404, 500, big (5 MB), html, slow, loop; the
    rest is fine."""
    kind = request.part(1, "deny")
    if request.asked.partition(b"?")[0] != b"/robots.txt":
        return anything(request, to)
    if kind == "slow":
        drip(to, repeat(b"HTTP/1.1 200 OK\r\n", 1), 3600.0)
        return None
    if kind == "loop":
        return redirect_loop(request, to)
    if kind.isdigit():
        return reply(int(kind), b"no robots.txt\n")
    texts = {
        "deny": b"User-agent: *\nDisallow: /private\n",
        "delay": b"User-agent: *\nCrawl-delay: 0.05\n",
        "html": b"<!doctype html><title>Welcome</title><p>Disallow: /\n",
        "big": b"User-agent: *\nDisallow: /private\n" + b"Disallow: /%s\n" % (b"x" * 80) * 54_000,
    }
    if kind not in texts:
        raise ValueError(f"/robots/KIND is a status, slow, loop, or one of {', '.join(texts)}")
    return reply(200, texts[kind])

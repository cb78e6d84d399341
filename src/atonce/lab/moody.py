"""Paths whose answer depends on what came before, or on how much goes on: throttles, bans, chance, overload.

What they remember is the server's (`Server.notes`) and forgotten by `/__reset`; chance is a matter of the seed.
`atonce.lab.table` says how one is written.
"""

from __future__ import annotations

import email.utils
import random
import time
from typing import TYPE_CHECKING

from .behaviours import anything, seconds
from .table import behaviour
from .wire import Request, reply

if TYPE_CHECKING:
    from .connection import Connection

__all__: list[str] = []


@behaviour("/throttled/K?after=S")
def throttled(request: Request, to: Connection) -> bytes:
    """429 the first K times (1 unless told) this very URL is asked for, with Retry-After: S, any text, or, with
    ?date=S, the date in S seconds (negative: past); then the small text."""
    if _count(to, "throttled", request) > request.number(1, 1):
        return anything(request, to)
    query = request.query
    after = query.get("after", "0")
    if "date" in query:
        after = email.utils.formatdate(time.time() + float(query["date"]), usegmt=True)
    return reply(429, b"slow down\n", ("Retry-After", after))


@behaviour("/by-rate/N")
def by_rate(request: Request, to: Connection) -> bytes:
    """The small text for N requests (10 unless told) to the host in any second, 429 for those beyond."""
    most, now = request.number(1, 10), to.server.loop.time()
    times: list[float] = to.server.note(("rate", to.host.name), list)
    times[:] = [at for at in times if at > now - 1.0]
    if len(times) >= most:
        return reply(429, b"slow down\n", ("Retry-After", "1"))
    times.append(now)
    return anything(request, to)


@behaviour("/by-connections/N")
def by_connections(request: Request, to: Connection) -> bytes:
    """The small text while the host has at most N connections (4 unless told), else 429."""
    if to.host.tally.open > request.number(1, 4):
        return reply(429, b"too many connections\n")
    return anything(request, to)


@behaviour("/ban/N")
def ban(request: Request, to: Connection) -> bytes:
    """The small text for the first N requests (10 unless told) to the host, then 403 for good."""
    seen: list[int] = to.server.note(("ban", to.host.name), lambda: [0])
    seen[0] += 1
    return anything(request, to) if seen[0] <= request.number(1, 10) else reply(403, b"go away\n")


@behaviour("/errors/P")
def errors(request: Request, to: Connection) -> bytes:
    """500 for P percent (50 unless told) of the requests, by chance, which is a matter of the seed; else the small text."""
    chance: random.Random = to.server.note("chance", lambda: random.Random(to.server.config.seed))
    return reply(500, b"bad luck\n") if chance.random() * 100 < request.number(1, 50) else anything(request, to)


@behaviour("/brownout?each=S")
def brownout(request: Request, to: Connection) -> None:
    """The small text, after S seconds (0.01 unless told) for each request in progress at the host."""
    each = seconds(request.query.get("each", "0.01"))
    to.later(each * to.host.tally.busy, to.answer, anything(request, to))


@behaviour("/down/S")
def down(request: Request, to: Connection) -> bytes:
    """503 for S seconds (1 unless told) from the first request to the host on, then the small text."""
    now = to.server.loop.time()
    began: list[float] = to.server.note(("down", to.host.name), lambda: [now])
    return reply(503, b"down\n") if now < began[0] + seconds(request.part(1, "1")) else anything(request, to)


def _count(to: Connection, name: str, request: Request) -> int:
    """How often this URL has been asked for, this time included."""
    count: list[int] = to.server.note((name, to.host.name, request.asked), lambda: [0])
    count[0] += 1
    return count[0]

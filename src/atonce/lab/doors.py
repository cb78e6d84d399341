"""Hosts that misbehave before a request is read: how a connection is met, or not, and TLS.

A door is entered under its name; the docstring is its help:

    @door("deaf")
    async def deaf(host: Host, server: Server, sock: socket.socket) -> None:
        "Accepts connections and never reads."
        ...

It is handed a bound socket and keeps it. `scheme` is what URLs of the host begin with. A host without a door listens and
serves the paths of `atonce.lab.table`.
"""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from .connection import Connection, reset
from .http2 import MODES, Http2
from .proxy import MODES as PROXIES
from .proxy import open_proxy

if TYPE_CHECKING:
    from .server import Host, Server

__all__ = ["BACKLOG", "CERTIFICATES", "DOORS", "Door", "door"]

BACKLOG = 4096
CERTIFICATES = Path(__file__).with_name("certificates")

Opener = Callable[["Host", "Server", socket.socket], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Door:
    """One row: what URLs of such a host begin with, and what happens there."""

    scheme: str
    help: str
    open: Opener


DOORS: dict[str, Door] = {}


def door(name: str, scheme: str = "http", help: str = "") -> Callable[[Opener], Opener]:
    """Enter the decorated opener into the table."""

    def enter(opener: Opener) -> Opener:
        DOORS[name] = Door(scheme, help or " ".join((opener.__doc__ or "").split()), opener)
        return opener

    return enter


class _Guest(asyncio.Protocol):
    """A connection that is counted; what happens to it is said by the subclasses."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.host.tally.opened(waits=False)
        self.met()

    def connection_lost(self, exc: Exception | None) -> None:
        self.host.tally.closed()

    def met(self) -> None:
        pass


class _Deaf(_Guest):
    def met(self) -> None:
        self.transport.pause_reading()


class _Resetting(_Guest):
    def met(self) -> None:
        reset(self.transport)


class _Closing(_Guest):
    def met(self) -> None:
        self.transport.close()


class _Greeting(_Guest):
    def met(self) -> None:
        self.transport.write(b"220 mail.lab ready\r\n")


class _Garbling(_Guest):
    def data_received(self, data: bytes) -> None:
        self.transport.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
        self.transport.close()


@door("refuse")
async def refuse(host: Host, server: Server, sock: socket.socket) -> None:
    """Refuses connections: the port is taken and nobody listens."""
    server.kept.append(sock)


@door("full")
async def full(host: Host, server: Server, sock: socket.socket) -> None:
    """Has no place in its queue for another connection: who connects is not answered at all."""
    sock.listen(0)
    server.kept.append(sock)
    for _ in range(4):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(sock.getsockname())
        server.kept.append(filler)


async def _meet(guest: Callable[[Host], _Guest], host: Host, server: Server, sock: socket.socket) -> None:
    await server.loop.create_server(functools.partial(guest, host), sock=sock, backlog=BACKLOG)


def _guests(name: str, guest: type[_Guest], help: str, scheme: str = "http") -> None:
    door(name, scheme, help)(functools.partial(_meet, guest))


_guests("deaf", _Deaf, "Accepts connections and never reads.")
_guests("reset-at-once", _Resetting, "Accepts connections and resets them (RST) before anything is sent.")
_guests("close-at-once", _Closing, "Accepts connections and closes them before anything is sent.")
_guests("greeting", _Greeting, "Speaks first, as a mail server would, and says nothing more.")
_guests("tls-stall", _Guest, "Takes a TLS handshake's beginning and never answers.", "https")
_guests("tls-plain", _Garbling, "Answers a TLS handshake with plain HTTP and closes.", "https")


# ── TLS ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


class _Ragged(Connection):
    """Ends as a connection that is cut off does: without TLS's close_notify."""

    def hang_up(self) -> None:
        self.transport.abort()


async def _secure(
    name: str, make: Callable[[Host, Server], asyncio.Protocol], host: Host, server: Server, sock: socket.socket
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / f"{name}.pem")
    if make is not Connection and make is not _Ragged:
        context.set_alpn_protocols(["h2", "http/1.1"])
    await server.loop.create_server(functools.partial(make, host, server), sock=sock, backlog=BACKLOG, ssl=context)


def _tls(name: str, certificate: str, help: str, make: Callable[[Host, Server], asyncio.Protocol] = Connection) -> None:
    door(name, "https", help)(functools.partial(_secure, certificate, make))


_tls("tls", "good", "All paths over TLS; the certificate is signed by certificates/ca.pem of this package.")
_tls("tls-expired", "expired", "TLS with a certificate that expired in 2020.")
_tls("tls-wrong-host", "wrong-host", "TLS with a certificate for another host.")
_tls("tls-self-signed", "self-signed", "TLS with a certificate that signs itself.")
_tls("tls-ragged", "good", "All paths over TLS; connections are cut off without TLS's close_notify.", _Ragged)

for _name, _help in MODES.items():
    _tls(_name, "good", _help, functools.partial(Http2, _name))

for _name, _help in PROXIES.items():
    door(_name, "socks5h" if _name.startswith("socks5") else "http", _help)(functools.partial(open_proxy, _name))

"""Proxies, good and bad: HTTP with CONNECT, and SOCKS5. They lead to loopback only, `NAME.lab` to 127.0.0.1.

What was asked of one is counted as it came: `CONNECT 127.0.0.1:80`, `GET http://127.0.0.1/`, `SOCKS 127.0.0.1:80`.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from .server import Host, Server

__all__ = ["MODES", "open_proxy"]

MODES = {
    "proxy": "An HTTP proxy: http by absolute URLs, https by CONNECT; to loopback, and NAME.lab, which is 127.0.0.1.",
    "proxy-auth": "An HTTP proxy for the user `me` with the password `pw`; 407 for anybody else.",
    "proxy-refuses": "An HTTP proxy that answers 403 to everything.",
    "proxy-drops": "An HTTP proxy that reads a request and closes.",
    "proxy-half": "An HTTP proxy that says 200 to CONNECT, and closes.",
    "proxy-garbage": "An HTTP proxy that answers with what is no HTTP.",
    "socks5": "A SOCKS5 proxy, which resolves names itself; to loopback, and NAME.lab, which is 127.0.0.1.",
    "socks5-refuses": "A SOCKS5 proxy that allows no connection.",
}

CREDENTIALS = b"basic bwu6chc="  # me:pw, in lower case
ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def open_proxy(mode: str, host: Host, server: Server, sock: socket.socket) -> None:
    meet = _socks if mode.startswith("socks5") else _http
    server.kept.append(await asyncio.start_server(functools.partial(_guest, meet, mode, host), sock=sock))


async def _guest(
    meet: Callable[[str, Host, Streams], Awaitable[None]],
    mode: str,
    host: Host,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    host.tally.opened(waits=False)
    try:
        with contextlib.suppress(OSError, EOFError, ValueError, asyncio.LimitOverrunError):
            await meet(mode, host, (reader, writer))
    finally:
        host.tally.closed()
        writer.close()


async def _http(mode: str, host: Host, client: Streams) -> None:
    reader, writer = client
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head[:-4].split(b"\r\n")
    method, target, _ = first.split(b" ")
    host.tally.saw(method + b" " + target)
    if mode in _ANSWERS:
        writer.write(_ANSWERS[mode])
        return
    if mode == "proxy-auth" and not any(line.lower() == b"proxy-authorization: " + CREDENTIALS for line in lines):
        writer.write(_refusal(b"407 Proxy Authentication Required", b'Proxy-Authenticate: Basic realm="lab"\r\n'))
        return
    if method == b"CONNECT":
        where, port = target.rsplit(b":", 1)
        path = b""
    else:
        url = urlsplit(target.decode("ascii"))
        where, port = (url.hostname or "").encode(), str(url.port or 80).encode()
        path = target.split(b"/", 3)[3]
    address = _address(where.decode("ascii"))
    if address is None:
        writer.write(_refusal(b"403 Forbidden"))
        return
    if mode == "proxy-half":
        writer.write(ESTABLISHED)
        return
    try:
        there = await asyncio.open_connection(address, int(port))
    except OSError:
        writer.write(_refusal(b"502 Bad Gateway"))
        return
    if method == b"CONNECT":
        writer.write(ESTABLISHED)
    else:
        # One request a connection: the next one may be for another host.
        kept = [line for line in lines if not line.lower().startswith((b"proxy-", b"connection:"))]
        there[1].write(b"\r\n".join([b"%b /%b HTTP/1.1" % (method, path), *kept, b"Connection: close", b"", b""]))
    await _relay(client, there)


async def _socks(mode: str, host: Host, client: Streams) -> None:
    """RFC 1928, without authentication."""
    reader, writer = client
    _, methods = await reader.readexactly(2)
    await reader.readexactly(methods)
    writer.write(b"\x05\x00")
    _, _, _, kind = await reader.readexactly(4)
    if kind == 1:
        name = str(ipaddress.IPv4Address(await reader.readexactly(4)))
    elif kind == 4:
        name = str(ipaddress.IPv6Address(await reader.readexactly(16)))
    else:
        name = (await reader.readexactly((await reader.readexactly(1))[0])).decode("ascii")
    port = int.from_bytes(await reader.readexactly(2), "big")
    host.tally.saw(f"SOCKS {name}:{port}".encode())
    address = _address(name)
    refused = b"\x05\x02\x00\x01" + bytes(6)  # not allowed
    if address is None or mode == "socks5-refuses":
        writer.write(refused)
        return
    try:
        there = await asyncio.open_connection(address, port)
    except OSError:
        writer.write(b"\x05\x05" + refused[2:])  # connection refused
        return
    writer.write(b"\x05\x00\x00\x01" + bytes(6))
    await _relay(client, there)


def _address(name: str) -> str | None:
    """Where a name leads; None: not to loopback."""
    if name == "localhost" or name.endswith(".lab"):
        return "127.0.0.1"
    try:
        return name if ipaddress.ip_address(name.strip("[]")).is_loopback else None
    except ValueError:
        return None


async def _relay(one: Streams, other: Streams) -> None:
    try:
        await asyncio.gather(_copy(one[0], other[1]), _copy(other[0], one[1]))
    finally:
        other[1].close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


def _refusal(status: bytes, header: bytes = b"") -> bytes:
    return b"HTTP/1.1 %b\r\n%bContent-Length: 0\r\nConnection: close\r\n\r\n" % (status, header)


_ANSWERS = {
    "proxy-refuses": _refusal(b"403 Forbidden"),
    "proxy-drops": b"",
    "proxy-garbage": b"220 mail.lab ready\r\n",
}

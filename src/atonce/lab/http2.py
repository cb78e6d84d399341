"""As much of HTTP/2 (RFC 9113) as it takes to misbehave in it: frames by hand, every request answered alike.

Headers are not read: the host's name says what is done. Who does not speak HTTP/2 gets the paths, over HTTP/1.1.
"""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING, cast

from .connection import Connection

if TYPE_CHECKING:
    from .server import Host, Server

__all__ = ["MODES", "Http2"]

MODES = {
    "h2": "HTTP/2: every request is answered with a small body.",
    "h2-one-stream": "HTTP/2 with one request at a time (SETTINGS_MAX_CONCURRENT_STREAMS 1).",
    "h2-goaway": "HTTP/2: answers one request of a connection, says GOAWAY to the others, and closes.",
    "h2-goaway-always": "HTTP/2: says GOAWAY instead of an answer, and closes.",
    "h2-reset": "HTTP/2: half a body, then RST_STREAM (INTERNAL_ERROR).",
    "h2-refused": "HTTP/2: RST_STREAM (REFUSED_STREAM) instead of an answer.",
    "h2-garbage": "HTTP/2: headers that make no sense instead of an answer, and closes.",
}

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
ACK = END_STREAM = 1
END_HEADERS = 4
INTERNAL_ERROR, REFUSED_STREAM = 2, 7
OK = b"\x88"  # HPACK: entry 8 of the static table, `:status: 200`
BODY = b"This is HTTP/2 of the lab.\n"


class Http2(asyncio.Protocol):
    def __init__(self, mode: str, host: Host, server: Server) -> None:
        self.mode = mode
        self.host = host
        self.server = server
        self.transport: asyncio.Transport
        self._buffer = b""
        self._begun = self._gone = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        if transport.get_extra_info("ssl_object").selected_alpn_protocol() != "h2":
            plain = Connection(self.host, self.server)
            transport.set_protocol(plain)
            plain.connection_made(transport)
            return
        self.host.tally.opened(waits=False)
        limit = struct.pack(">HI", 3, 1) if self.mode == "h2-one-stream" else b""  # MAX_CONCURRENT_STREAMS
        self._send(SETTINGS, 0, 0, limit)

    def connection_lost(self, exc: Exception | None) -> None:
        self.host.tally.closed()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._begun:
            if len(self._buffer) < len(PREFACE):
                return
            self._begun, self._buffer = True, self._buffer[len(PREFACE) :]
        while len(self._buffer) >= 9 and not self._gone:
            size = int.from_bytes(self._buffer[:3], "big")
            if len(self._buffer) < 9 + size:
                return
            kind, flags, stream = struct.unpack(">BBI", self._buffer[3:9])
            content, self._buffer = self._buffer[9 : 9 + size], self._buffer[9 + size :]
            if kind in (SETTINGS, PING) and not flags & ACK:
                self._send(kind, ACK, 0, b"" if kind == SETTINGS else content)
            elif kind == HEADERS:
                self._request(stream)

    def _request(self, stream: int) -> None:
        tally = self.host.tally
        tally.saw(f"/{self.mode}".encode())
        mode = self.mode.removeprefix("h2-")
        if mode == "goaway-always":
            self._go_away(0)
        elif mode == "reset":
            self._send(HEADERS, END_HEADERS, stream, OK)
            self._send(DATA, 0, stream, BODY[:9])
            self._send(RST_STREAM, 0, stream, struct.pack(">I", INTERNAL_ERROR))
        elif mode == "refused":
            self._send(RST_STREAM, 0, stream, struct.pack(">I", REFUSED_STREAM))
        elif mode == "garbage":
            self._send(HEADERS, END_HEADERS, stream, b"\xff" * 20)
            self._gone = True
            self.transport.close()
        else:
            self._send(HEADERS, END_HEADERS, stream, OK)
            self._send(DATA, END_STREAM, stream, BODY)
            if mode == "goaway":
                self._go_away(stream)

    def _go_away(self, last: int) -> None:
        self._gone = True
        self._send(GOAWAY, 0, 0, struct.pack(">II", last, 0))
        self.transport.close()

    def _send(self, kind: int, flags: int, stream: int, content: bytes) -> None:
        self.transport.write(len(content).to_bytes(3, "big") + struct.pack(">BBI", kind, flags, stream) + content)

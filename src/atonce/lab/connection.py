"""One connection: bytes in, requests out to their behaviours one at a time, and what a behaviour may do to a client.

        connection_made ── gate ─┬─ serve ─> begin ─> data ─> take ─> [handshake, latency] ─> behaviour ─> done ─┐
                                 ├─ wait ──────^ (another closes)       ^                                        │
                                 ├─ reset                               └────────── the next request ────────────┘
                                 └─ 503: begin, but every request is answered 503 and the connection closed

A request is in progress from being read whole until `done`, or until the connection is lost.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Literal, TypeVarTuple, cast

from . import table
from .wire import BadRequest, Request, awaits_continue, reply, take

if TYPE_CHECKING:
    from .server import Host, Server

__all__ = ["Connection", "reset"]

Ts = TypeVarTuple("Ts")
End = Literal["done", "close", "stay"]

_LINGER_OFF = struct.pack("ii", 1, 0)  # close() then sends RST, and drops what was not sent yet
_AHEAD = 1 << 16  # bytes read for a connection that is not being served, or busy
_WRITES_A_TURN = 16  # of 64 KiB, then the other connections get theirs


class Connection(asyncio.Protocol):
    """What a behaviour is handed: `transport` for anything at all, and the methods below for the usual."""

    def __init__(self, host: Host, server: Server) -> None:
        self.host = host
        self.server = server
        self.transport: asyncio.Transport
        self.request: Request | None = None  # the one in progress
        self.served = 0  # requests, that one included
        self._buffer = bytearray()
        self._serving = False
        self._refusing = False
        self._ready_at = 0.0  # when the handshake is over; 0.0 once it is
        self._continued = False
        self._deaf = False  # reading is paused: enough was read ahead
        self._paused = False  # writing is: the client does not read
        self._chunks: Iterator[bytes] | None = None
        self._end: End = "done"
        self._pump_due = False

    def __repr__(self) -> str:
        state = "refusing" if self._refusing else "serving" if self._serving else "waiting"
        return f"<Connection to {self.host.name} {state} {self.request and self.request.target!r}>"

    # What a behaviour may do

    def write(self, data: bytes) -> None:
        self.transport.write(data)

    def done(self, close: bool = False) -> None:
        """The request in progress is answered; the next one may come, unless the connection closes."""
        request, self.request = self.request, None
        if request is None:
            return
        self._ended(request)
        if close or not request.keep_alive:
            self.hang_up()
        elif self._buffer:
            self._listen_again()
            self.server.loop.call_soon(self._advance)

    def answer(self, data: bytes) -> None:
        """A whole reply, cut down to what the request's method and its Connection header ask for; then `done`."""
        request = self.request
        if request is None:
            return
        if request.method == b"HEAD":
            data = data[: data.index(b"\r\n\r\n") + 4]
        if not request.keep_alive:
            data = data.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)
        self.transport.write(data)
        self.done()

    def stream(self, head: bytes, chunks: Iterator[bytes], end: End = "done") -> None:
        """`head`, each of `chunks` as fast as the client reads, then the `end`; for HEAD, no chunks and no stay."""
        if self.request is None:
            return
        self.write(head)
        self._chunks, self._end = chunks, end
        if self.request.method == b"HEAD":
            self._chunks, self._end = iter(()), "close" if end == "close" else "done"
        self._pump_soon()

    def later(self, seconds: float, act: Callable[[*Ts], object], *args: *Ts) -> None:
        """Call `act(*args)` after `seconds`, unless the connection is gone by then."""
        self.server.loop.call_later(seconds, self._if_open, lambda: act(*args))

    def reset(self) -> None:
        """End the connection with RST: the client sees "connection reset by peer"."""
        reset(self.transport)

    def hang_up(self) -> None:
        """End the connection once all is sent."""
        self.transport.close()

    # What the event loop and the gate call

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        verdict = self.host.gate.arrive(self)
        self._refusing = verdict in ("reset", "503")
        if self._refusing:
            self.host.tally.refuse()
        else:
            self.host.tally.opened(waits=verdict == "wait")
        if verdict == "reset":
            self.reset()
        elif verdict != "wait":
            self.begin()

    def begin(self) -> None:
        """A place is free (or the refusal is ready): read requests from here on."""
        self._serving = True
        if self.server.config.connection_cost and not self._refusing:
            self._ready_at = self.host.gate.handshake(self.server.loop.time())
        self._listen_again()
        self._advance()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._serving and self.request is None:
            self._advance()
        elif len(self._buffer) > _AHEAD and not self._deaf:
            self._deaf = True
            self.transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._serving = False
        self._chunks = None
        if self.request is not None:
            self._ended(self.request)
            self.request = None
        if not self._refusing:
            self.host.tally.closed()
        heir = self.host.gate.leave(self)
        if heir is not None:
            heir.begin()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if self._chunks is not None:
            self._pump_soon()

    # From bytes to behaviours

    def _advance(self) -> None:
        if not self._buffer or not self._serving or self.request is not None or self.transport.is_closing():
            return
        try:
            request = take(self._buffer)
        except BadRequest as error:
            self.write(reply(400, f"{error}\n".encode(), ("Connection", "close")))
            self.transport.close()
            return
        if request is not None:
            self._continued = False
            self._handle(request)
        elif not self._continued and awaits_continue(self._buffer):
            self._continued = True
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _handle(self, request: Request) -> None:
        self.request = request
        if request.is_control:
            table.act(request, self)
            return
        self.served += 1
        tally = self.host.tally
        tally.saw(request.target)
        if self.host.answer is not None:
            request.become(self.host.answer)
        tally.began()
        if self._refusing:
            self.stream(reply(503, b"too many connections\n", ("Connection", "close")), iter(()), end="close")
            return
        delay = self.server.config.latency
        if self._ready_at:
            delay += max(0.0, self._ready_at - self.server.loop.time())
            self._ready_at = 0.0
        if delay:
            self.later(delay, table.act, request, self)
        else:
            table.act(request, self)

    def _ended(self, request: Request) -> None:
        if not request.is_control:
            self.host.tally.ended()

    def _listen_again(self) -> None:
        if self._deaf and not self.transport.is_closing():
            self._deaf = False
            self.transport.resume_reading()

    def _if_open(self, act: Callable[[], object]) -> None:
        if not self.transport.is_closing():
            act()

    def _pump_soon(self) -> None:
        if not self._pump_due:
            self._pump_due = True
            self.server.loop.call_soon(self._pump)

    def _pump(self) -> None:
        self._pump_due = False
        for _ in range(_WRITES_A_TURN):
            if self._chunks is None or self._paused or self.transport.is_closing():
                return
            data = next(self._chunks, None)
            if data is None:
                self._chunks = None
                if self._end != "stay":
                    self.done(close=self._end == "close")
                return
            self.transport.write(data)
        self._pump_soon()


def reset(transport: asyncio.Transport) -> None:
    """End a connection with RST."""
    sock = cast("socket.socket", transport.get_extra_info("socket"))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_OFF)
    transport.abort()

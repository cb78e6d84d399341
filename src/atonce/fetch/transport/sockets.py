"""What lies beneath requests and urllib3: sockets of ours, and connections that make them.

The sockets ask the attempt's watch how long they may wait, each time they would wait: so every timeout holds, also
against a server that sends a byte now and then, and no other thread is needed. They are told nothing; a session runs one
attempt at a time in one thread, and the thread knows which.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import http.client
import queue
import socket
import ssl
import sys
import threading
import time
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from ..attempt import Attempt
from ..failure import FULL
from ..limits import LONGEST_HEAD
from .lookup import lookups
from .race import connected
from .room import PAUSE

__all__ = ["OpenFirst", "PlainPool", "SecurePool", "TlsSocket", "close_idle", "here"]

clock = time.monotonic


class Here(threading.local):
    """What the sockets of this thread work for: a session runs one attempt at a time."""

    attempt: Attempt
    opened = 0  # connections, in this hop
    connected_at = 0.0  # the last of them
    wire = 0  # bytes received, in this hop
    most = LONGEST_HEAD  # of them, unless the body goes on
    crowded = sys.maxsize  # a descriptor of this number says that there are too many
    tunnelling = False  # what is sent and received is between us and the proxy


here = Here()


def left() -> float:
    """Seconds that the attempt may still wait for what it waits for now."""
    left = here.attempt.watch.due - clock()
    if left <= 0:
        raise TimeoutError("timed out")
    return left


if TYPE_CHECKING:
    _Base = socket.socket
else:
    _Base = object


class _Timed(_Base):
    """A socket whose every wait ends when the attempt's patience does."""

    def sendall(self, data: Any, flags: int = 0) -> None:
        if here.tunnelling:
            self.settimeout(left())
            super().sendall(data, flags)
            return
        here.attempt.sent = True
        self.settimeout(left())
        super().sendall(data, flags)
        here.attempt.watch.sent(clock())

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        self.settimeout(left())
        count = super().recv_into(buffer, nbytes or 0, flags)
        if count and not here.tunnelling:
            attempt, now = here.attempt, clock()
            if attempt.first_byte_at is None:
                attempt.first_byte_at = now
            here.wire += count
            attempt.watch.received(here.wire, now)
            if here.wire > here.most:
                raise http.client.HTTPException(f"no end of the headers, or trailers, within {LONGEST_HEAD} bytes")
        return count


class _Socket(_Timed, socket.socket):
    pass


class TlsSocket(_Timed, ssl.SSLSocket):
    suppress_ragged_eofs: bool

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        self.suppress_ragged_eofs = False  # a connection that is cut off is no end of a body (RFC 9112, 9.8)
        return super().recv_into(buffer, nbytes, flags)


def _connected(host: str, port: int) -> socket.socket:
    """A connection to one of the addresses of the host that may have one."""
    while True:
        try:
            return _connected_now(host, port)
        except OSError as error:
            here.attempt.no_socket(error)
            if not here.attempt.starves(clock()):
                raise
        close_idle()
        time.sleep(PAUSE)
        here.attempt.repeat(clock())


def _connected_now(host: str, port: int) -> socket.socket:
    attempt, began = here.attempt, clock()
    try:
        found = lookups.find(host.strip("[]"), port).result(left())
    except concurrent.futures.TimeoutError:
        raise TimeoutError("timed out") from None
    looked_up = clock()
    attempt.spent("dns_s", looked_up - began)
    here.opened += 1
    allowed = [address for address in found if attempt.allows(address.host)]
    if not allowed:
        raise ConnectionRefusedError(attempt.refused or "no address")
    attempt.refused = None
    made = connected(allowed, _Socket, left)
    if made.fileno() >= here.crowded:
        close_idle()
    made.settimeout(left())  # for the handshake, if there is to be one
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    here.connected_at = clock()
    attempt.spent("connect_s", here.connected_at - looked_up)
    return made


class _Response(http.client.HTTPResponse):
    """Passes over every 1xx answer, where http.client does so for 100 only; and minds that the head has an end."""

    def begin(self) -> None:
        fp = self.fp
        self.fp = lines = _Lines(fp)  # type: ignore[assignment]
        try:
            super().begin()
        finally:
            self.fp = fp if self.fp is not None else None
        if lines.last not in (b"\r\n", b"\n"):
            raise http.client.IncompleteRead(b"")
        if self.status in FULL:
            self.will_close = True

    def _read_status(self) -> tuple[str, int, str]:
        while True:
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if status == 101 or not 100 <= status < 200:
                return version, status, reason
            http.client.parse_headers(self.fp)


class _Lines:
    """A response's stream while its head is read: remembers the last line, refuses what would be read as two."""

    last = b""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def readline(self, limit: int = -1) -> bytes:
        line: bytes = self._stream.readline(limit)
        self.last = line
        if b"\0" in line or b"\r" in line[:-2]:
            raise http.client.HTTPException("a NUL or a carriage return in a header")  # RFC 9110, 5.5
        return line

    def close(self) -> None:
        self._stream.close()


class _Verbatim(HTTPConnection):
    """Asks for the URL as it is, which urllib3 would spell anew."""

    response_class = _Response

    def getresponse(self) -> Any:
        if self.sock is None:  # lost while the request was sent, which urllib3 passes over
            raise ConnectionResetError("connection reset while the request was sent")
        with contextlib.suppress(OSError):  # it is gone: what it said before may still be here
            here.attempt.peer_ip = self.sock.getpeername()[0]
        return super().getresponse()

    def putrequest(self, method: str, url: str, *args: Any, **more: Any) -> None:
        target = here.attempt.hop.url
        if here.attempt.policy.proxy is None or not target.startswith("http:"):
            target = "/" + target.split("/", 3)[3]
        super().putrequest(method, target, *args, **more)


class _Plain(_Verbatim):
    def _new_conn(self) -> socket.socket:
        return _connected(self.host, self.port or 80)


class _Secure(_Verbatim, HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return _connected(self.host, self.port or 443)

    def _tunnel(self) -> None:
        here.tunnelling = True
        try:
            super()._tunnel()
        finally:
            here.tunnelling = False

    def connect(self) -> None:
        super().connect()
        self.is_verified = True  # where it is not, the user said so: urllib3 would warn at each request
        here.attempt.spent("tls_s", clock() - here.connected_at)


class OpenFirst(queue.LifoQueue[Any]):
    """What waits in a pool: connections that are open are taken before those that would have to be opened.

    urllib3 takes the one that came back last. Where that could not be opened, since the server takes no more, nobody would come
    to those that lie open below it, and the server would refuse for ever.
    """

    def _init(self, maxsize: int) -> None:
        with _lock:
            _queues.add(self)
        self.queue: deque[Any] = deque()  # type: ignore[assignment]

    def close_open(self, most: int) -> int:
        """At most so many of those that are open, which stay here. Returns how many there were."""
        with self.mutex:  # nobody takes one meanwhile
            found = [one for one in self.queue if getattr(one, "sock", None) is not None]
            for one in found[:most]:
                one.close()
        return len(found)

    def _put(self, item: Any) -> None:
        if getattr(item, "sock", None) is not None:
            self.queue.append(item)
        else:
            self.queue.appendleft(item)


_queues: weakref.WeakSet[OpenFirst] = weakref.WeakSet()
_lock = threading.Lock()


def close_idle() -> None:
    """Half of the connections that lie open in the pools of this process."""
    with _lock:
        queues = list(_queues)
    most = (sum(each.close_open(0) for each in queues) + 1) // 2
    for each in queues:
        most -= min(most, each.close_open(most))


class PlainPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Plain
    QueueCls = OpenFirst


class SecurePool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _Secure
    QueueCls = OpenFirst

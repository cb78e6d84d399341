"""A server that answers with the very bytes it is given, for what the lab does not do."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

PEM = Path(__file__).with_name("loopback.pem")

Step = bytes | str | Callable[[], object]


class Scripted:
    """Answers request n with script n, the last script thereafter; a script's steps are bytes to send, or

    "close" (the connection), "reset" (it, with an RST), "half" (the sending side), "wait" (until the other side closes), or
    what is called, such as to wait for something else.
    `seen` has each request as it came, `connections` counts.
    """

    def __init__(self, *scripts: Sequence[Step], tls: bool = False) -> None:
        self.scripts = scripts
        self.seen: list[bytes] = []
        self.connections = 0
        self._tls = None
        if tls:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(PEM)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}/"
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def __enter__(self) -> Scripted:
        return self

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in self._open:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for sock in self._open:
            sock.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(sock)
            thread = threading.Thread(target=self._serve, args=(sock,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            if self._tls is not None:
                sock = self._tls.wrap_socket(sock, server_side=True)
                self._open.append(sock)
            while (request := _read(sock)) is not None:
                self.seen.append(request)
                for step in self.scripts[min(len(self.seen), len(self.scripts)) - 1]:
                    _take(sock, step)


def _take(sock: socket.socket, step: Step) -> None:
    if isinstance(step, bytes):
        sock.sendall(step)
    elif callable(step):
        step()
    elif step == "wait":
        while sock.recv(4096):
            pass
    elif step == "half":
        sock.shutdown(socket.SHUT_WR)
    elif step == "close":
        sock.shutdown(socket.SHUT_RDWR)
    else:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()


def _read(sock: socket.socket) -> bytes | None:
    """One request with its body."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(65536)
        if not more:
            return None
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line[15:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    while lengths and len(body) < int(lengths[0]):
        body += sock.recv(65536)
    return head + b"\r\n\r\n" + body


def reply(body: bytes = b"", *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode("latin-1") + body

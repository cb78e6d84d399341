"""A client that knows no more of HTTP than a test wants to."""

from __future__ import annotations

import socket


class Client:
    """A TCP connection and what came through it so far."""

    def __init__(self, address: str) -> None:
        ip, port = address.split(":")
        self.sock = socket.create_connection((ip, int(port)), timeout=20)
        self._rest = b""

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def get(self, target: str, *headers: str, method: str = "GET") -> None:
        self.send("\r\n".join([f"{method} {target} HTTP/1.1", "Host: lab", *headers, "", ""]).encode())

    def read_until(self, mark: bytes) -> bytes:
        while mark not in self._rest:
            data = self.sock.recv(65536)
            assert data, f"closed; {self._rest!r} has no {mark!r}"
            self._rest += data
        found, _, self._rest = self._rest.partition(mark)
        return found + mark

    def read(self, size: int) -> bytes:
        while len(self._rest) < size:
            data = self.sock.recv(65536)
            assert data, f"closed after {self._rest!r}"
            self._rest += data
        found, self._rest = self._rest[:size], self._rest[size:]
        return found

    def read_to_end(self) -> bytes:
        while data := self.sock.recv(65536):
            self._rest += data
        found, self._rest = self._rest, b""
        return found

    def reply(self) -> tuple[int, bytes]:
        """Status and body of a reply with Content-Length."""
        head = self.read_until(b"\r\n\r\n").lower()
        size = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        return int(head.split(b" ")[1]), self.read(size)

    def close(self) -> None:
        self.sock.close()

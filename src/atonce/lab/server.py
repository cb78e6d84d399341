"""The server: its sockets, its event loop, what all its connections share; `serve` runs it to the end.

It must not be what is being measured. One core of a 2-core virtual machine (AMD EPYC) that others were using too, hence
the ranges; uvloop 0.23, Python 3.11; wrk 4.1 on the other core:

    python -m atonce.lab --port 18080
    wrk -t2 -c64 -d5 http://127.0.0.1:18080/bytes/1000

| path | requests/s, lowest and highest run | runs |
|---|---|---|
| `/bytes/1000` | 54 700 to 87 000 (median 64 900) | 5 |
| `/bytes/1000` without uvloop | 17 100 to 75 700 (median 53 300; the lowest alone is below 41 000) | 5 |
| `/` | 61 300, 73 000 | 2 |
| `/bytes/16384` | 52 500, 69 700 (0.8 and 1.07 GB/s) | 2 |
| `/status/200`, put together anew each time | 33 100, 49 100 | 2 |

uvloop's timers go by whole milliseconds: `latency` and `connection_cost` below one are rounded.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import sys
from collections.abc import Callable, Hashable, Sequence
from difflib import get_close_matches
from functools import partial
from typing import Any

from atonce.errors import UsageError

from . import behaviours, compressed, malformed, misbehaviours, misleading, moody, ranges  # noqa: F401 (they fill the table)
from .config import Addresses, Config, LoopName
from .connection import Connection
from .counters import Tally
from .doors import BACKLOG, DOORS, Door
from .gate import Gate
from .table import TABLE

__all__ = ["Host", "Server", "known", "serve"]

_PORT_TRIES = 50
_REPLIES = 4096  # remembered, then from the beginning: a client may ask for a million different paths
_REPLY_BYTES = 64 << 20


class Host:
    """One address: who is let in, and what was seen there. `door` and `answer`: what it does instead of what paths say."""

    def __init__(
        self, name: str, config: Config, total: Tally | None, door: Door | None = None, answer: bytes | None = None
    ) -> None:
        self.name = name
        self.door = door
        self.answer = answer
        self.gate: Gate[Connection] = Gate(config)
        self.tally = Tally(total)

    def __repr__(self) -> str:
        return f"<Host {self.name} {self.gate!r}>"


class Server:
    """What the connections of all hosts share."""

    def __init__(self, config: Config, names: list[str], loop: asyncio.AbstractEventLoop) -> None:
        self.config = config
        self.loop = loop
        self.total = Tally()
        meant = [*map(_meant, config.behaviours), *[(None, None)] * len(names)]
        self.hosts = [Host(name, config, self.total, *what) for name, what in zip(names, meant, strict=False)]
        self.kept: list[object] = []  # what a door keeps: sockets without an event loop, servers
        self.notes: dict[Hashable, Any] = {}
        self.replies: dict[bytes, bytes] = {}
        self.failures: dict[tuple[str, bytes], int] = {}
        self._reply_bytes = 0

    def remember(self, path: bytes, data: bytes) -> None:
        if len(self.replies) >= _REPLIES or self._reply_bytes + len(data) > _REPLY_BYTES:
            self.replies.clear()
            self._reply_bytes = 0
        self.replies[path] = data
        self._reply_bytes += len(data)

    def note(self, key: Hashable, first: Callable[[], Any]) -> Any:
        """What a behaviour remembers under a key; `first` makes it."""
        if key not in self.notes:
            self.notes[key] = first()
        return self.notes[key]

    def forget(self) -> None:
        """Zero every count, of all that is not going on now."""
        self.failures.clear()
        self.notes.clear()
        for tally in [self.total, *(host.tally for host in self.hosts)]:
            tally.clear()

    async def listen(self, host: Host, sock: socket.socket) -> None:
        if host.door is not None:
            await host.door.open(host, self, sock)
        else:
            await self.loop.create_server(partial(Connection, host, self), sock=sock, backlog=BACKLOG)


def known() -> list[str]:
    """The behaviours, by name: of a path without what follows it."""
    return [*DOORS, *(name.decode() for name in TABLE if name and not name.startswith(b"__"))]


def _meant(behaviour: str) -> tuple[Door | None, bytes | None]:
    if behaviour in DOORS:
        return DOORS[behaviour], None
    path = behaviour.removeprefix("/")
    name = path.partition("?")[0].partition("/")[0]
    if name and name.encode() in TABLE and path.isascii() and path.isprintable():
        return None, f"/{path}".encode()
    close = get_close_matches(name, known(), 3)
    hint = f"did you mean {' or '.join(close)}?" if close else "atonce lab serve --help lists them"
    raise UsageError(f"lab: there is no behaviour {behaviour!r}", hint=hint)


def serve(config: Config, ready: Callable[[Addresses], object] | None = None) -> None:
    """Serve until Ctrl-C; `ready` is called with the addresses once they listen (by default they are printed).

    Raises UsageError when an address cannot be listened on, KeyboardInterrupt at Ctrl-C.
    """
    _raise_descriptor_limit()
    with asyncio.Runner(loop_factory=_loop_factory(config.loop)) as runner:
        runner.run(_serve(config, ready or announce))


def announce(addresses: Addresses) -> None:
    """The hosts' URLs to stdout, one a line; the rest to stderr."""
    print(*map("{}://{}".format, addresses.schemes, addresses.hosts), sep="\n", flush=True)
    print(f"counts: http://{addresses.control}/__stats  stop: Ctrl-C", file=sys.stderr, flush=True)


async def _serve(config: Config, ready: Callable[[Addresses], object]) -> None:
    quiet = [_meant(behaviour)[0] in (DOORS["refuse"], DOORS["full"]) for behaviour in config.behaviours]
    sockets = _bind_all(config, quiet)
    names = [_name(sock) for sock in sockets]
    server = Server(config, names, asyncio.get_running_loop())
    for host, sock in zip(server.hosts, sockets, strict=True):
        await server.listen(host, sock)
    # The control address is a host like the others, but in no list and no total: whoever asks for the counts does not
    # change them, and gets in where the limit is reached.
    control_sock = _bind("127.0.0.1", 0)
    control = Host(_name(control_sock), Config(), None)
    await server.listen(control, control_sock)
    schemes = [host.door.scheme if host.door else "http" for host in server.hosts]
    ready(Addresses(tuple(names), control.name, tuple(schemes)))
    await asyncio.Event().wait()


def _bind_all(config: Config, quiet: Sequence[bool]) -> list[socket.socket]:
    """An address per host, all on one port; again, if what the system chose is taken on the next address.

    All listen but the first ones that are `quiet`.
    """
    tries = 1 if config.port else _PORT_TRIES
    while True:
        tries -= 1
        ip = ""
        sockets: list[socket.socket] = []
        try:
            for number, ip in enumerate(config.ips()):
                port = _port(sockets[0]) if sockets else config.port
                sockets.append(_bind(ip, port, listen=not any(quiet[number : number + 1])))
            return sockets
        except OSError as error:
            for sock in sockets:
                sock.close()
            if error.errno != errno.EADDRINUSE or tries == 0:
                raise _cannot_listen(error, ip, config.port) from error


def _bind(ip: str, port: int, listen: bool = True) -> socket.socket:
    sock = socket.socket()
    try:
        if sys.platform != "win32":  # where it would let two servers share the port
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((ip, port))
        # At once: between bind and listen another process with SO_REUSEADDR could still take the same port.
        if listen:
            sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


def _cannot_listen(error: OSError, ip: str, port: int) -> UsageError:
    hints = {
        errno.EADDRNOTAVAIL: f"give this machine the address (macOS: sudo ifconfig lo0 alias {ip} up), or hosts=1",
        errno.EADDRINUSE: "another port, or 0 for a free one",
        errno.EACCES: "a port from 1024 up, or 0 for a free one",
    }
    what = f"lab: cannot listen on {ip}, port {port or 'any'}: {error.strerror}"
    return UsageError(what, hint=hints.get(error.errno or 0))


def _port(sock: socket.socket) -> int:
    port: int = sock.getsockname()[1]
    return port


def _name(sock: socket.socket) -> str:
    ip, port = sock.getsockname()
    return f"{ip}:{port}"


def _loop_factory(name: LoopName) -> Callable[[], asyncio.AbstractEventLoop]:
    if name == "asyncio":
        return asyncio.new_event_loop
    try:
        import uvloop
    except ImportError:
        if name == "uvloop":
            raise UsageError("lab: loop='uvloop' is not installed", hint="pip install uvloop, or loop='auto'") from None
        return asyncio.new_event_loop
    return uvloop.new_event_loop


def _raise_descriptor_limit() -> None:
    if sys.platform != "win32":
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

"""Connecting to one of many addresses, some of which may not answer at all: `connected` (RFC 8305, Happy Eyeballs).

One attempt is begun after another, a quarter of a second apart or as soon as one has failed, and the first connection that is
there is taken. So an address that swallows everything, such as a broken IPv6, costs that quarter.
"""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar, cast

from .lookup import Address

__all__ = ["connected", "in_turns"]

DELAY = 0.25  # RFC 8305, 5
_UNDER_WAY = (errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EAGAIN, errno.EINTR)

S = TypeVar("S", bound=socket.socket)


def in_turns(addresses: Sequence[Address]) -> list[Address]:
    """The families in turns, beginning with that of the first."""
    first = [one for one in addresses if one.family == addresses[0].family]
    other = [one for one in addresses if one.family != addresses[0].family]
    ordered: list[Address] = []
    while first or other:
        ordered += first[:1] + other[:1]
        del first[:1], other[:1]
    return ordered


def connected(
    addresses: Sequence[Address],
    make: Callable[[int, int, int], S],
    left: Callable[[], float],
    clock: Callable[[], float] = time.monotonic,
) -> S:
    """A socket of `make(family, kind, protocol)` that is connected to one of them. `left` says how many seconds there are, and
    raises when there are none. Raises the last OSError where none takes a connection."""
    waiting = iter(in_turns(addresses))
    trouble: OSError = ConnectionRefusedError(errno.ECONNREFUSED, "no address")
    with contextlib.closing(_Race()) as race:
        next_at, more = clock(), True
        while more or race:
            if more and (not race or clock() >= next_at):
                address = next(waiting, None)
                more, next_at = address is not None, clock() + DELAY
                if address is not None:
                    try:
                        if race.begin(address, make):
                            break
                    except OSError as error:
                        trouble = error
                continue
            seconds = left() if not more else min(left(), max(0.0, next_at - clock()))
            for failed in race.look(seconds):
                trouble, next_at = failed, clock()
            if race.winner is not None:
                break
        if race.winner is None:
            raise trouble
        return cast(S, race.winner)


class _Race:
    """Connections under way. All but the winner's are closed in the end."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self.winner: socket.socket | None = None

    def __bool__(self) -> bool:
        return bool(self._selector.get_map())

    def begin(self, address: Address, make: Callable[[int, int, int], socket.socket]) -> bool:
        """True if it is connected already. Raises OSError."""
        made = make(address.family, socket.SOCK_STREAM, address.protocol)
        try:
            made.setblocking(False)
            code = made.connect_ex(address.place)
            if code and code not in _UNDER_WAY:
                raise OSError(code, os.strerror(code))
        except BaseException:
            made.close()
            raise
        if not code:
            self.winner = made
            return True
        self._selector.register(made, selectors.EVENT_WRITE)
        return False

    def look(self, seconds: float) -> Iterator[OSError]:
        """Wait so long for one to connect; those that failed."""
        for key, _ in self._selector.select(seconds):
            made: socket.socket = key.fileobj  # type: ignore[assignment]
            code = made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            self._selector.unregister(made)
            if code:
                made.close()
                yield OSError(code, os.strerror(code))
            elif self.winner is None:
                self.winner = made
            else:
                made.close()

    def close(self) -> None:
        for key in [*self._selector.get_map().values()]:
            key.fileobj.close()  # type: ignore[union-attr]
        self._selector.close()

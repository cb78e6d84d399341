"""Which transfers wait for the connection of another, since HTTP/2 could carry them all: `Sharing`, one for each runner.

Whether a host speaks HTTP/2 is known when its first connection is made (ALPN, within TLS). Until then libcurl opens one for
each transfer, or has all wait (`PIPEWAIT`): where the host turns out to speak HTTP/1 until the first answer has ended, and one
after another where it keeps no connections (curl's issue 15838). So they wait, and are told when there is a connection:

    wait ──► connected (libcurl is about to send with it) ──► ready: the others, which join it or open their own
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .easy import Transfer

__all__ = ["MOST_ALONE", "PATIENCE", "Sharing"]

# Seconds that a transfer waits for another's connection at most: a guess, some round trips to the far side of the world.
PATIENCE = 1.0
# Hosts that are remembered to speak HTTP/1. One that is forgotten has its first requests wait for a connection once more.
MOST_ALONE = 10_000


class Sharing:
    """Hosts are those of URLs, with their ports."""

    __slots__ = ("_alone", "_made", "_waiting")

    def __init__(self) -> None:
        self._alone: dict[str, None] = {}  # hosts that speak HTTP/1, the first to be found out first
        self._waiting: dict[str, set[Transfer]] = {}
        self._made: set[str] = set()  # hosts with a connection, and somebody who waits for it

    def host(self, url: str) -> str:
        """The one whose connection is worth waiting for; "" where none is."""
        if not url.startswith("https:"):
            return ""
        host = url.split("/", 3)[2]
        return "" if host in self._alone else host

    def wait(self, transfer: Transfer) -> None:
        self._waiting.setdefault(transfer.shares, set()).add(transfer)

    def connected(self, transfer: Transfer) -> None:
        """It has a connection, its own or another's; or has ended."""
        waiting = self._waiting.get(transfer.shares)
        if waiting is not None:
            waiting.discard(transfer)
            if waiting:
                self._made.add(transfer.shares)
            else:
                del self._waiting[transfer.shares]

    def answered(self, transfer: Transfer, head: bytes) -> None:
        if head.startswith(b"HTTP/1"):
            self._alone[transfer.shares] = None
            if len(self._alone) > MOST_ALONE:
                del self._alone[next(iter(self._alone))]

    def ready(self) -> list[Transfer]:
        """Those that need not wait any longer, since their host has a connection. They are forgotten."""
        made, self._made = self._made, set()
        return [transfer for host in made for transfer in self._waiting.pop(host, ())]

    def impatient(self, now: float) -> list[Transfer]:
        """Those that have waited long enough. They are forgotten."""
        late = [one for waiting in self._waiting.values() for one in waiting if now - one.hop_at >= PATIENCE]
        for transfer in late:
            self.connected(transfer)
        return late

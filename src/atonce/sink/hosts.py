"""What came from which host, for progress and the summary: `HostTally`."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..plain import line
from .summary import grouped, in_words

__all__ = ["HostTally", "HostTime", "in_bytes"]

MOST = 10_000  # hosts told apart; the rest are counted together, so that a tally stays small
SLOWEST = 3  # that are named
_REST = "all others"


class HostTime(NamedTuple):
    """A host's items, those of them that failed, the bytes they brought, and the mean seconds that their last attempt took."""

    host: str
    items: int
    failed: int
    size: int
    seconds: float

    def __str__(self) -> str:
        failed = f", {grouped(self.failed)} failed" if self.failed else ""
        return f"{line(self.host, 60)} {in_words(self.seconds)} ({grouped(self.items)}{failed})"


class HostTally:
    """Counts what was asked for; an item that was not, since its host did not answer, has no time of its own."""

    __slots__ = ("_hosts", "size")

    def __init__(self) -> None:
        self._hosts: dict[str, list[Any]] = {}  # items, failed, bytes, seconds
        self.size = 0

    def __len__(self) -> int:
        return len(self._hosts)

    def add(self, host: str, ok: bool, size: int, seconds: float) -> None:
        """An item has ended."""
        found = self._hosts.get(host)
        if found is None:
            found = self._hosts.setdefault(host if len(self._hosts) < MOST else _REST, [0, 0, 0, 0.0])
        found[0] += 1
        found[1] += not ok
        found[2] += size
        found[3] += seconds
        self.size += size

    def slowest(self, most: int = SLOWEST) -> tuple[HostTime, ...]:
        """The slowest first."""
        hosts = (HostTime(host, count, bad, size, took / count) for host, (count, bad, size, took) in self._hosts.items())
        return tuple(sorted(hosts, key=lambda each: -each.seconds)[:most])

    @property
    def amount(self) -> str:
        """`164 MB from 3 hosts`."""
        several = f" from {grouped(len(self))} hosts" if len(self) > 1 else ""
        return f"{in_bytes(self.size)}{several}"


def in_bytes(count: float) -> str:
    """`999 bytes`, `1.6 kB`, `164 MB`."""
    if count < 1000:
        return f"{count:.0f} {'byte' if count == 1 else 'bytes'}"
    for unit in ("kB", "MB", "GB"):
        count /= 1000
        if count < 999.5:
            return f"{count:.{1 if count < 9.95 else 0}f} {unit}"
    return f"{grouped(count / 1000)} TB"

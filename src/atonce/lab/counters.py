"""What the server saw: tallies on its side, frozen `Stats` on ours, JSON between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["HostStats", "Stats", "Tally"]


class Tally:
    """Counts of one host; with a `parent`, which counts the same over all hosts.

    Requests are counted by target, the path with its query, when they have been read whole.
    """

    __slots__ = ("busy", "busy_peak", "connections", "open", "open_peak", "parent", "refused", "requests", "targets",
                 "waited")  # fmt: skip

    def __init__(self, parent: Tally | None = None) -> None:
        self.parent = parent
        self.open = self.busy = 0
        self.clear()

    def clear(self) -> None:
        """Forget the past; what is open or in progress now stays counted as such."""
        self.requests = self.connections = self.waited = self.refused = 0
        self.open_peak, self.busy_peak = self.open, self.busy
        self.targets: dict[bytes, int] = {}

    def opened(self, *, waits: bool) -> None:
        self.connections += 1
        self.waited += waits
        self.open += 1
        if self.open > self.open_peak:
            self.open_peak = self.open
        if self.parent is not None:
            self.parent.opened(waits=waits)

    def refuse(self) -> None:
        self.connections += 1
        self.refused += 1
        if self.parent is not None:
            self.parent.refuse()

    def closed(self) -> None:
        self.open -= 1
        if self.parent is not None:
            self.parent.closed()

    def saw(self, target: bytes) -> None:
        self.requests += 1
        self.targets[target] = self.targets.get(target, 0) + 1
        if self.parent is not None:
            self.parent.requests += 1

    def began(self) -> None:
        self.busy += 1
        if self.busy > self.busy_peak:
            self.busy_peak = self.busy
        if self.parent is not None:
            self.parent.began()

    def ended(self) -> None:
        self.busy -= 1
        if self.parent is not None:
            self.parent.ended()

    def counts(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in _COUNTS}

    def paths(self) -> dict[str, int]:
        return {target.decode("latin-1"): count for target, count in self.targets.items()}


@dataclass(frozen=True, slots=True)
class _Counts:
    """requests: read whole, whatever became of them. connections: accepted in all; of these `waited` had to wait for
    a place and `refused` got none (reset or 503). open: connections there now, waiting ones too, refused ones not.
    busy: requests in progress now. `_peak`: the most there ever were at once.
    """

    requests: int
    connections: int
    waited: int
    refused: int
    open: int
    open_peak: int
    busy: int
    busy_peak: int


_COUNTS = tuple(_Counts.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class HostStats(_Counts):
    """The counts of one host, and how often each path (with its query) was requested there."""

    paths: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Stats(_Counts):
    """The counts over all hosts (a peak here is of all hosts at once, not the sum of theirs), and each host's own."""

    hosts: Mapping[str, HostStats]

    @property
    def paths(self) -> dict[str, int]:
        """Requests by path with query, over all hosts."""
        merged: dict[str, int] = {}
        for host in self.hosts.values():
            for path, count in host.paths.items():
                merged[path] = merged.get(path, 0) + count
        return merged

    @property
    def urls(self) -> dict[str, int]:
        """Requests by full URL, as `Lab.urls` spells it."""
        return {f"http://{name}{path}": n for name, host in self.hosts.items() for path, n in host.paths.items()}

    def repeated(self) -> dict[str, int]:
        """The URLs requested more than once: empty is the proof of "never requested twice"."""
        return {url: count for url, count in self.urls.items() if count > 1}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Stats:
        hosts = {name: HostStats(**host) for name, host in data["hosts"].items()}
        return cls(**{**data, "hosts": hosts})


def to_json(total: Tally, hosts: Mapping[str, Tally]) -> dict[str, Any]:
    """What `Stats.from_json` reads."""
    each = {name: {**tally.counts(), "paths": tally.paths()} for name, tally in hosts.items()}
    return {**total.counts(), "hosts": each}

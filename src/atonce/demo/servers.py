"""The lab's hosts for one measurement, also where a machine has one loopback address only (macOS)."""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType

from ..errors import UsageError
from ..lab import Lab

__all__ = ["Servers"]


class Servers:
    """`hosts` hosts as one lab; or, where 127.0.0.2 cannot be listened on, as a lab each, told apart by their ports.

    To an HTTP client both are the same: a host is an address and a port.
    """

    def __init__(self, hosts: int, *, latency: float = 0.0, connection_cost: float = 0.0) -> None:
        self._hosts = hosts
        self._latency = latency
        self._cost = connection_cost
        self._stack = ExitStack()
        self._labs: list[Lab] = []

    def __enter__(self) -> Servers:
        try:
            self._labs = [self._start(self._hosts)]
        except UsageError:
            if self._hosts == 1:
                raise
            with ExitStack() as stack:  # should one not start, the others end
                self._stack = stack
                self._labs = [self._start(1) for _ in range(self._hosts)]
                self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()

    def _start(self, hosts: int) -> Lab:
        return self._stack.enter_context(Lab(hosts, latency=self._latency, connection_cost=self._cost))

    def urls(self, count: int) -> list[str]:
        """The hosts in turn, each URL different."""
        bases = [f"http://{host}" for lab in self._labs for host in lab.hosts]
        return [f"{bases[number % len(bases)]}/?n={number}" for number in range(count)]

    def forget(self) -> None:
        for lab in self._labs:
            lab.reset()

    def connections(self) -> int:
        """How many the hosts have seen opened since the last `forget`."""
        return sum(lab.stats().connections for lab in self._labs)

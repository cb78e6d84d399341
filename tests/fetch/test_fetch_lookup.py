"""Names are looked up once for all who wait, and the first connection that is there is taken."""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from atonce.fetch.transport import lookup, race
from atonce.fetch.transport.lookup import Address, Lookups
from atonce.fetch.transport.race import connected, in_turns


class Names:
    """In place of `getaddrinfo`: it answers when the gate is open."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.gate = threading.Event()
        self.error: Exception | None = None

    def __call__(self, host: str, port: int, **more: Any) -> list[Any]:
        self.asked.append(host)
        assert self.gate.wait(30)
        if self.error is not None:
            raise self.error
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", port))]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[Names]:
    names = Names()
    monkeypatch.setattr(socket, "getaddrinfo", names)
    yield names
    names.gate.set()


@pytest.fixture
def now() -> list[float]:
    return [0.0]


@pytest.fixture
def lookups(now: list[float]) -> Lookups:
    return Lookups(lambda: now[0])


def test_many_wait_for_one_lookup(names: Names, lookups: Lookups) -> None:
    found = [lookups.find("a.example", 80) for _ in range(10)]
    with pytest.raises(TimeoutError):  # each may stop waiting
        found[0].result(0)
    names.gate.set()
    assert {future.result(30) for future in found} == {(Address(socket.AF_INET, 6, ("192.0.2.1", 80)),)}
    assert names.asked == ["a.example"]


def test_one_that_takes_long_holds_up_no_other(names: Names, lookups: Lookups) -> None:
    slow = [lookups.find(f"{number}.example", 80) for number in range(20)]
    names.gate.set()
    assert len({future.result(30) for future in slow}) == 1
    assert len(names.asked) == 20


def test_what_was_found_is_good_for_a_while(names: Names, lookups: Lookups, now: list[float]) -> None:
    names.gate.set()
    for _ in range(2):
        lookups.find("a.example", 80).result(30)
    now[0] = lookup.KEPT
    lookups.find("a.example", 80).result(30)
    lookups.find("a.example", 81).result(30)
    assert names.asked == ["a.example"] * 3


def test_what_failed_is_asked_for_again(names: Names, lookups: Lookups) -> None:
    names.gate.set()
    for error in (socket.gaierror(socket.EAI_NONAME, "no"), UnicodeError("label too long"), None):
        names.error = error
        future = lookups.find("a.example", 80)
        assert future.exception(30) is error
    assert len(names.asked) == 3


def test_a_limited_number_is_kept(names: Names, lookups: Lookups, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "MOST", 2)
    names.gate.set()
    for name in "abca":
        lookups.find(name, 80).result(30)
    assert names.asked == ["a", "b", "c", "a"]


V4, V6 = (Address(family, 6, ()) for family in (socket.AF_INET, socket.AF_INET6))


@pytest.mark.parametrize(
    ("given", "order"),
    [([], []), ([V4, V4], [V4, V4]), ([V6, V6, V6, V4], [V6, V4, V6, V6]), ([V4, V6, V6], [V4, V6, V6])],
)
def test_the_families_take_turns(given: list[Address], order: list[Address]) -> None:
    assert in_turns(given) == order


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


@pytest.fixture
def deaf() -> Iterator[Address]:
    """An address that answers nobody: its queue is full."""
    with socket.socket() as full, socket.socket() as one, socket.socket() as two:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for client in (one, two):
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        yield Address(socket.AF_INET, 6, full.getsockname())


def address(server: socket.socket) -> Address:
    return Address(socket.AF_INET, 6, server.getsockname())


def refusing() -> Address:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return address(server)


def patience() -> float:
    return 30.0


def test_the_first_that_answers_is_taken(server: socket.socket) -> None:
    addresses = [*(refusing() for _ in range(49)), address(server)]
    with connected(addresses, socket.socket, patience) as made:
        assert made.getpeername() == server.getsockname()


def test_one_that_swallows_everything_costs_a_moment(
    server: socket.socket, deaf: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(race, "DELAY", 0.0)
    with connected([deaf, deaf, address(server)], socket.socket, patience) as made:
        assert made.getpeername() == server.getsockname()


def test_where_nobody_answers_the_last_says_why() -> None:
    with pytest.raises(ConnectionRefusedError):
        connected([refusing(), refusing()], socket.socket, patience)


def test_a_family_that_this_machine_lacks_is_passed_over(server: socket.socket) -> None:
    def make(family: int, kind: int, protocol: int) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "no")
        return socket.socket(family, kind, protocol)

    addresses = [Address(socket.AF_INET6, 6, ("::1", 1, 0, 0)), address(server)]
    with connected(addresses, make, patience) as made:
        assert made.getpeername() == server.getsockname()


def test_patience_ends_it(deaf: Address) -> None:
    def left() -> float:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        connected([deaf], socket.socket, left)

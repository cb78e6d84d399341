"""Who waits for whose connection. What libcurl makes of it: test_fetch_peers."""

from __future__ import annotations

from typing import Any

from atonce.fetch.transport.sharing import MOST_ALONE, PATIENCE, Sharing


class Waiter:
    def __init__(self, sharing: Sharing, url: str, at: float = 0.0) -> None:
        self.shares = sharing.host(url)
        self.hop_at = at
        if self.shares:
            sharing.wait(self)  # type: ignore[arg-type]


def test_the_first_connection_lets_the_others_go() -> None:
    sharing: Any = Sharing()
    first, second, third = (Waiter(sharing, f"https://a.example/{n}") for n in range(3))
    other = Waiter(sharing, "https://a.example:8443/")
    assert sharing.ready() == []
    sharing.connected(first)
    assert set(sharing.ready()) == {second, third}
    assert sharing.ready() == []
    sharing.connected(other)
    assert sharing.ready() == []  # nobody waited for it


def test_one_that_ends_lets_the_others_go_as_well() -> None:
    sharing: Any = Sharing()
    first, second = (Waiter(sharing, f"https://a.example/{n}") for n in range(2))
    sharing.connected(first)
    sharing.connected(second)  # libcurl had it join by itself, or it failed
    assert sharing.ready() == []


def test_where_no_one_waits() -> None:
    sharing: Any = Sharing()
    assert sharing.host("http://a.example/") == ""
    first = Waiter(sharing, "https://a.example/")
    sharing.answered(first, b"HTTP/2 200 \r\n\r\n")
    assert sharing.host("https://a.example/") == "a.example"
    sharing.answered(first, b"HTTP/1.1 200 OK\r\n\r\n")
    assert sharing.host("https://a.example/") == ""
    assert sharing.host("https://b.example/") == "b.example"


def test_patience_ends() -> None:
    sharing: Any = Sharing()
    early, late = Waiter(sharing, "https://a.example/", 10.0), Waiter(sharing, "https://a.example/", 10.5)
    assert sharing.impatient(10.0 + 0.9 * PATIENCE) == []
    assert sharing.impatient(10.0 + PATIENCE) == [early]
    assert sharing.ready() == [late]
    assert sharing.impatient(99.0) == []


def test_hosts_that_speak_http_1_are_remembered_up_to_a_bound() -> None:
    sharing: Any = Sharing()
    for number in range(MOST_ALONE + 10):
        waiter = Waiter(sharing, f"https://{number}.example/")
        sharing.answered(waiter, b"HTTP/1.1 200 OK\r\n")
        sharing.connected(waiter)
    assert sharing.host("https://0.example/") == "0.example"
    assert sharing.host(f"https://{MOST_ALONE}.example/") == ""
    assert len(sharing._alone) == MOST_ALONE
    assert not sharing._waiting

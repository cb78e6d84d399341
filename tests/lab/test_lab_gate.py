from __future__ import annotations

from typing import Any

import pytest

from atonce.lab import Config
from atonce.lab.gate import Gate


def make_gate(**options: Any) -> Gate[str]:
    return Gate(Config(**options))


def test_without_a_limit_everybody_is_served() -> None:
    gate = make_gate()
    assert {gate.arrive(str(n)) for n in range(1000)} == {"serve"}


def test_those_over_the_limit_wait_and_are_served_in_their_order() -> None:
    gate = make_gate(max_connections=2)
    assert [gate.arrive(who) for who in "abcd"] == ["serve", "serve", "wait", "wait"]
    assert gate.leave("b") == "c"
    assert gate.leave("a") == "d"
    assert gate.leave("c") is None
    assert gate.arrive("e") == "serve"


def test_who_gives_up_waiting_frees_no_place_and_gets_none() -> None:
    gate = make_gate(max_connections=1)
    assert [gate.arrive(who) for who in "abc"] == ["serve", "wait", "wait"]
    assert gate.leave("b") is None
    assert gate.leave("a") == "c"


@pytest.mark.parametrize("over_limit", ["reset", "503"])
def test_the_refused_neither_wait_nor_hold_a_place(over_limit: str) -> None:
    gate = make_gate(max_connections=1, over_limit=over_limit)
    assert [gate.arrive(who) for who in "ab"] == ["serve", over_limit]
    assert gate.leave("b") is None
    assert gate.arrive("c") == over_limit
    assert gate.leave("a") is None
    assert gate.arrive("d") == "serve"


def test_handshakes_are_done_one_after_another() -> None:
    gate = make_gate(connection_cost=2.0)
    assert [gate.handshake(now) for now in (10.0, 10.0, 11.0, 20.0)] == [12.0, 14.0, 16.0, 22.0]

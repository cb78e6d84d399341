"""The circuit: closed, open, one probe at a time, given up, and closed again by the first sign of life."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from atonce.engine.circuit import LONGEST, PAUSE, PROBES, TRIP, Circuit


def tripped(now: float = 0.0) -> Circuit:
    circuit = Circuit()
    for _ in range(TRIP):
        circuit.failed(now, now)
    return circuit


def test_it_opens_after_failures_in_a_row_and_not_before() -> None:
    circuit = Circuit()
    for _ in range(TRIP - 1):
        circuit.failed(0.0, 1.0)
    assert not circuit.open
    circuit.answered()
    for _ in range(TRIP - 1):
        circuit.failed(1.0, 2.0)
    assert not circuit.open
    circuit.failed(2.0, 3.0)
    assert circuit.open
    assert circuit.until == 3.0 + PAUSE


def test_what_was_under_way_when_it_opened_is_no_news() -> None:
    circuit = tripped(5.0)
    circuit.failed(4.0, 6.0)
    assert (circuit.probes, circuit.until) == (0, 5.0 + PAUSE)


def test_each_probe_that_fails_doubles_the_pause_until_it_is_given_up() -> None:
    circuit, now, pauses = tripped(), 0.0, []
    while not circuit.given_up:
        pauses.append(circuit.until - now)
        now = circuit.until
        circuit.failed(now, now)
    assert pauses == [PAUSE * 2**n for n in range(PROBES)]
    for _ in range(9):
        now = circuit.until
        circuit.failed(now, now)
    assert circuit.until - now == LONGEST
    assert circuit.given_up


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 100))))
def test_a_sign_of_life_closes_it_whatever_was_before(story: list[tuple[bool, float]]) -> None:
    circuit, now = Circuit(), 0.0
    for alive, seconds in story:
        now += seconds
        if alive:
            circuit.answered()
            assert not circuit.open
            assert circuit.until < now
        else:
            circuit.failed(now, now)
            assert circuit.until <= now + LONGEST
        assert circuit.open == (circuit.in_a_row >= TRIP)

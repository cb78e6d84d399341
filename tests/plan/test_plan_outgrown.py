"""`Outgrown`: what the clocks must say before a run in one loop goes on in several processes, as tables."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce.plan.calibration import ASSUMED
from atonce.plan.outgrown import EVERY, Outgrown, Reading

START = Reading(0.0, 5.0, 100.0, 0)


def looks(
    own: float, used: float | None, rate: float, *, cpus: int = 2, cores: int = 2, times: int = 2
) -> tuple[list[bool], Outgrown]:
    """What each look says while this process uses `own` cores and all programs `used`, at `rate` items a second."""
    first = START._replace(used=None if used is None else START.used)
    outgrown, said = Outgrown(cpus, cores, first), []
    for number in range(1, times + 1):
        now = number * EVERY
        taken = None if used is None else 100.0 + used * now
        said.append(outgrown.look(Reading(now, 5.0 + own * now, taken, round(rate * now))))
    return said, outgrown


@pytest.mark.parametrize(
    ("own", "used", "rate", "cores", "found"),
    [
        (1.0, 1.3, 700, 2, True),  # 256 KB over TLS: a core for the loop, a third of one for the server and who writes
        (1.0, 1.3, 700, 8, True),
        (1.0, None, 700, 2, True),  # where the system does not tell, what this process leaves is taken as idle
        (0.7, 1.3, 700, 2, False),  # it waits
        (1.0, 1.8, 700, 2, False),  # nothing is idle
        (1.5, 1.5, 700, 4, False),  # it is not the loop alone: whoever writes here would have more to take in
        (1.0, 1.3, 15_000, 2, False),  # items are so short that handing them over costs as much
        (1.0, 1.3, 0, 2, False),  # nothing came back at all
    ],
)
def test_when_one_loop_is_too_little(own: float, used: float | None, rate: float, cores: int, found: bool) -> None:
    said, _ = looks(own, used, rate, cores=cores)
    assert said == [False, found]  # one look alone is chance


def test_a_look_that_finds_it_idle_begins_anew() -> None:
    outgrown = Outgrown(2, 2, START)
    now, own, said = 0.0, 5.0, []
    for share in (1.0, 0.3, 1.0, 1.0):
        now += EVERY
        own += share * EVERY
        said.append(outgrown.look(Reading(now, own, 100.0 + 1.2 * now, round(700 * now))))
    assert said == [False, False, False, True]


@pytest.mark.parametrize(
    ("left", "carried", "worth"),
    [
        (10_000, 0.0001, True),
        (300, 0.0001, False),  # they would have to start first
        (10_000, 0.002, False),  # carrying takes longer than getting
        (None, 0.0001, False),  # as many more as there have been so far: few
    ],
)
def test_when_several_are_worth_it(left: int | None, carried: float, worth: bool) -> None:
    _, outgrown = looks(1.0, 1.3, 700)
    why = outgrown.why(left, carried, ASSUMED)
    assert (why is not None) == worth
    if why is not None:
        assert "with 2 processes, of which this is one" in why
        assert "0.7 of 2 were idle" in why


def test_a_list_whose_length_nobody_knows_is_worth_it_after_a_while() -> None:
    _, outgrown = looks(1.0, 1.3, 700, times=20)
    why = outgrown.why(None, 0.0001, ASSUMED)
    assert why is not None
    assert "as many more would take 4 s here" in why


COUNT = st.integers(1, 10**6)


@given(COUNT, COUNT, st.floats(0, 0.01), st.floats(0.9, 1.25), st.floats(0.0, 0.5), st.integers(2, 64))
def test_more_to_do_never_speaks_against_it_and_dear_carrying_never_for_it(
    fewer: int, more: int, carried: float, own: float, others: float, cores: int
) -> None:
    fewer, more = sorted((fewer, more))
    _, outgrown = looks(own, own + others, 700, cpus=cores, cores=cores)
    if outgrown.why(fewer, carried, ASSUMED):
        assert outgrown.why(more, carried, ASSUMED)
        assert outgrown.why(fewer, carried / 2, ASSUMED)
        assert outgrown.why(fewer, carried, dataclasses.replace(ASSUMED, start=0.0))

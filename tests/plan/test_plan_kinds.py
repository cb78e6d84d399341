"""What `explain` says of functions whose kind of work is known. Slow: it measures, for real, on whatever machine this is.

No times are asserted, only what kind of work it is; and that has to come out on a machine that is busy with other things.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kinds_of_functions import COMPUTES_AND_WAITS, cases, echo

import atonce
from atonce.plan.machine import look_around, usable_cpus

pytestmark = pytest.mark.slow
NAMES = [case.name for case in cases(0)]


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with echo() as number:
        yield number


@pytest.mark.parametrize(
    "name", [name if number % 3 == 0 else pytest.param(name, marks=pytest.mark.soak) for number, name in enumerate(NAMES)]
)
@pytest.mark.leaves("thread")  # of the module's server
def test_what_kind_of_work_it_is(name: str, port: int) -> None:
    (case,) = (case for case in cases(port) if case.name == name)
    plan = atonce.explain(case.function, [case.item] * 400)
    for _ in range(2):
        # Where others have the cores a single look may mislead; three do not.
        if plan.work not in case.expected:
            plan = atonce.explain(case.function, [case.item] * 400)
    assert plan.work in case.expected, str(plan)
    assert 0 < plan.ran <= 400


@pytest.mark.skipif(usable_cpus() < 2, reason="with one core nobody asks who holds the GIL")
@pytest.mark.skipif(not look_around().gil, reason="there is none")
@pytest.mark.parametrize(("name", "held"), [(name, "hash" not in name) for name in COMPUTES_AND_WAITS])
def test_who_holds_the_gil_while_it_computes_is_seen_of_what_waits_as_well(name: str, held: bool) -> None:
    """What computes before anybody looks, or for less than a turn of the GIL, looks as if it let the GIL go."""
    samples = [atonce.explain(COMPUTES_AND_WAITS[name], range(400)).sample for _ in range(5)]
    right = [sample.held is not None and (sample.held > 0.6 * sample.cpu) is held for sample in samples if sample]
    assert sum(right) >= 4, samples


def test_there_are_at_least_thirty() -> None:
    assert len(NAMES) >= 30
    assert len(set(NAMES)) == len(NAMES)

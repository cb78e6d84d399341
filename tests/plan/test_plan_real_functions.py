"""`explain` and `compare` on functions of well-known libraries: the kind of work and the model, no number."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from real_functions import FUNCTIONS, WAITS, Real

import atonce
from atonce.lab import Lab
from atonce.plan.machine import usable_cpus
from atonce.worker.runners.coroutine import new_loop

pytestmark = pytest.mark.slow
NAMES = [real.fn.__name__ for real in FUNCTIONS]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    new_loop().close()  # libuv opens a pipe with its first loop and keeps it
    with Lab(latency=0.05) as lab:
        yield lab


def items(real: Real, lab: Lab, count: int) -> list[Any]:
    return lab.urls(count) if real.url else list(range(count))


@pytest.mark.parametrize("real", FUNCTIONS, ids=NAMES)
@pytest.mark.skipif(usable_cpus() < 2, reason="with one core most of them are run one after another")
def test_what_explain_says(real: Real, lab: Lab) -> None:
    for _ in range(3):  # where others have the cores a single look may mislead; three do not
        plan = atonce.explain(real.fn, items(real, lab, real.many))
        if plan.work in real.kinds and plan.model in real.models:
            return
    raise AssertionError(str(plan))


@pytest.mark.soak
@pytest.mark.parametrize("real", FUNCTIONS, ids=NAMES)
def test_what_compare_says(real: Real, lab: Lab) -> None:
    """Every model that can runs every item, and where items wait, waiting for many at once wins by far."""
    found = atonce.compare(real.fn, items(real, lab, real.few), rounds=1)
    assert [turn.error for turn in found.turns] == [""] * len(found.turns), str(found)
    assert {(turn.ok, turn.failed) for turn in found.turns} == {(real.few, 0)}
    assert ("coroutines" in found.left_out) == (real.fn.__name__ != "async_sleep")
    assert found.advised in ("sync", "threads", "processes", "hybrid", "coroutines")
    if real.kinds == (WAITS,):
        assert found.winner in ("threads", "coroutines", "hybrid"), str(found)
        assert found.advised in real.models, str(found)

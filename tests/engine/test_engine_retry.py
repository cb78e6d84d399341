"""Retry: full jitter within its bounds, a budget that delays and never drops, and Retry-After."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce import Retry
from atonce.engine.kinds import kind_of
from atonce.engine.retry import FLOOR, RESERVE, Backoff, pause_asked


class RetryAfter(Exception):
    def __init__(self, seconds: object) -> None:
        super().__init__(seconds)
        self.retry_after = seconds


class Highest(random.Random):
    """Draws the upper end of each range."""

    def random(self) -> float:
        return 1.0

    def uniform(self, a: float, b: float) -> float:
        return b


class Lowest(random.Random):
    def random(self) -> float:
        return 0.0

    def uniform(self, a: float, b: float) -> float:
        return a


@given(st.integers(1, 9), st.floats(0.001, 5), st.floats(0.001, 100), st.integers(0, 2**32))
def test_the_pause_is_between_nothing_and_the_doubled_base(attempt: int, base: float, cap: float, seed: int) -> None:
    backoff = Backoff(Retry(attempts=10, base=base, cap=cap), random.Random(seed))
    at = backoff.again_at(ValueError(), attempt, now=1000.0)
    assert at is not None
    assert 0 <= at - 1000.0 <= min(cap, base * 2 ** (attempt - 1)) + 1e-9


@pytest.mark.parametrize(("attempt", "highest"), [(1, 0.5), (2, 1.0), (3, 2.0), (4, 3.0), (9, 3.0)])
def test_the_whole_range_is_used(attempt: int, highest: float) -> None:
    policy = Retry(attempts=10, base=0.5, cap=3.0)
    assert Backoff(policy, Highest()).again_at(ValueError(), attempt, 0.0) == pytest.approx(highest)
    assert Backoff(policy, Lowest()).again_at(ValueError(), attempt, 0.0) == 0.0


@pytest.mark.parametrize(
    ("on", "error", "again"),
    [
        (Exception, ValueError(), True),
        (Exception, KeyboardInterrupt(), False),
        (ValueError, ValueError(), True),
        (ValueError, TypeError(), False),
        ((ValueError, KeyError), KeyError(), True),
        ((ValueError, KeyError), TypeError(), False),
        ((), ValueError(), False),
        (lambda error: "again" in str(error), ValueError("try again"), True),
        (lambda error: "again" in str(error), ValueError("never"), False),
        (TimeoutError, TimeoutError(), True),
    ],
)
def test_what_is_tried_again(on: object, error: BaseException, again: bool) -> None:
    backoff = Backoff(Retry(attempts=2, on=on), random.Random(0))  # type: ignore[arg-type]
    assert (backoff.again_at(error, 1, 0.0) is not None) is again


def test_attempts_count_all_starts() -> None:
    backoff = Backoff(Retry(attempts=3), random.Random(0))
    assert backoff.again_at(ValueError(), 1, 0.0) is not None
    assert backoff.again_at(ValueError(), 2, 0.0) is not None
    assert backoff.again_at(ValueError(), 3, 0.0) is None


def test_one_attempt_is_no_retry() -> None:
    assert Backoff(Retry(attempts=1), random.Random(0)).again_at(ValueError(), 1, 0.0) is None


@pytest.mark.parametrize(
    ("asked", "lowest", "highest"), [(5.0, 5.0, 5.5), (0.0, 0.0, 0.1), (1e9, 120.0, 132.0), (-3.0, 0.0, 0.1)]
)
def test_retry_after_is_a_lower_bound_up_to_its_cap(asked: object, lowest: float, highest: float) -> None:
    policy = Retry(attempts=2, base=0.1, max_wait=120.0)
    for rng, expected in ((Lowest(), lowest), (Highest(), highest)):
        pause = pause_asked(RetryAfter(asked), policy.max_wait, rng)
        assert Backoff(policy, rng).again_at(RetryAfter(asked), 1, 0.0, pause) == pytest.approx(expected)


@pytest.mark.parametrize("asked", ["soon", object(), float("nan")], ids=["text", "object", "nan"])
def test_a_retry_after_that_is_no_number_is_none(asked: object) -> None:
    """The attribute is the user's: whatever it holds must not end the run."""
    assert pause_asked(RetryAfter(asked), 120.0, Highest()) == 0.0


def test_over_budget_a_retry_waits_for_the_floor_and_is_never_dropped() -> None:
    backoff = Backoff(Retry(attempts=1000, base=0.001, budget=0.2), Lowest())
    times = [backoff.again_at(ValueError(), 1, 0.0) for _ in range(33)]
    assert None not in times
    for sooner, later in itertools.pairwise(times):
        assert sooner <= later  # type: ignore[operator]
    # the reserve at once, then 3 a second
    assert sum(at == 0.0 for at in times) == RESERVE
    assert times[-1] == pytest.approx((33 - RESERVE) / FLOOR)


def test_attempts_earn_retries() -> None:
    poor = Backoff(Retry(attempts=9, budget=0.2), Lowest())
    rich = Backoff(Retry(attempts=9, budget=0.2), Lowest())
    rich.started(100)  # 20 retries' worth
    assert [poor.again_at(ValueError(), 1, 0.0) for _ in range(23)][-1] > 0  # type: ignore[operator]
    assert [rich.again_at(ValueError(), 1, 0.0) for _ in range(23)][-1] == 0.0


def test_time_earns_retries() -> None:
    backoff = Backoff(Retry(attempts=9), Lowest())
    for _ in range(3):
        assert backoff.again_at(ValueError(), 1, 0.0) == 0.0
    assert backoff.again_at(ValueError(), 1, 1.0) == 1.0  # a second later three more have been earned


@pytest.mark.parametrize(("overload", "kind"), [(None, ("overload", 2.0)), (True, ("overload", 2.0)), (False, ("error", None))])
def test_a_pause_that_is_asked_for_is_a_refusal_unless_it_says_not(overload: bool | None, kind: object) -> None:
    error: Any = RetryAfter(2)
    if overload is not None:
        error.overload = overload
    assert kind_of(error) == kind

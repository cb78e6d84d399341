"""The token bucket: never more than the rate allows, never less than it could."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce import Rate
from atonce.engine.bucket import TokenBucket


@given(st.floats(0.1, 1000), st.integers(1, 20), st.lists(st.floats(0, 3), max_size=50), st.randoms())
def test_never_more_than_burst_and_rate(count: float, burst: int, pauses: list[float], chance: object) -> None:
    bucket = TokenBucket(Rate(count, burst=burst))
    now, spent = 500.0, 0
    for pause in [0.0, *pauses]:
        now += pause
        allowed = bucket.allowed(now)
        assert 0 <= allowed <= burst
        spend = chance.randint(0, allowed)  # type: ignore[attr-defined]
        bucket.spend(spend)
        spent += spend
        assert spent <= burst + (now - 500.0) * count + 1e-3


@given(st.floats(0.1, 1000), st.integers(1, 5))
def test_who_waits_until_next_at_may_start_one(count: float, burst: int) -> None:
    bucket = TokenBucket(Rate(count, burst=burst))
    now = 0.0
    for _ in range(burst + 20):
        if not bucket.allowed(now):
            later = bucket.next_at(now)
            assert now < later <= now + 1 / count + 1e-9
            now = later
            assert bucket.allowed(now) >= 1
        bucket.spend(1)
    assert now == pytest.approx(20 / count, rel=1e-6)


def test_an_idle_bucket_fills_up_to_its_burst_only() -> None:
    bucket = TokenBucket(Rate(10, burst=3))
    assert bucket.allowed(0.0) == 3
    bucket.spend(3)
    assert bucket.allowed(0.0) == 0
    assert bucket.allowed(1000.0) == 3

"""The token bucket: never more than the rate allows, never less than it could, however late it is asked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce import Rate
from atonce.engine.bucket import SLACK, TICK, TokenBucket


@given(st.floats(0.1, 3000), st.integers(1, 20), st.lists(st.floats(0, 3) | st.floats(0, 0.02), max_size=50), st.randoms())
def test_never_more_than_burst_slack_and_rate(count: float, burst: int, pauses: list[float], chance: object) -> None:
    bucket = TokenBucket(Rate(count, burst=burst))
    now, spent = 500.0, 0
    for pause in [0.0, *pauses]:
        now += pause
        allowed = bucket.allowed(now)
        assert 0 <= allowed <= max(burst, 1 + SLACK * count) + 1e-6
        spend = chance.randint(0, allowed)  # type: ignore[attr-defined]
        bucket.spend(spend)
        spent += spend
        assert spent <= max(burst, 1 + SLACK * count) + (now - 500.0) * count + 1e-3


@given(st.floats(0.1, 3000), st.integers(1, 5))
def test_who_waits_until_next_at_may_start_one(count: float, burst: int) -> None:
    bucket = TokenBucket(Rate(count, burst=burst))
    now, started = 0.0, 0
    while started < burst + 20:
        if not bucket.allowed(now):
            later = bucket.next_at(now)
            assert now < later <= now + max(1 / count, TICK) + 1e-9
            now = later
            assert bucket.allowed(now) >= 1
        started += bucket.allowed(now)
        bucket.spend(bucket.allowed(now))
    assert (started - burst) / count - 1e-6 <= now <= (started - burst + 1) / count + TICK


@given(st.floats(0.1, 3000), st.lists(st.floats(0, SLACK - TICK), min_size=1, max_size=20))
def test_a_wake_up_that_comes_late_loses_no_start(count: float, lateness: list[float]) -> None:
    bucket = TokenBucket(Rate(count))
    now, started = 0.0, 0
    for late in lateness * 20:
        started += (allowed := bucket.allowed(now))
        bucket.spend(allowed)
        now = max(now, bucket.next_at(now)) + late
    assert started + bucket.allowed(now) >= int(1 + now * count - 1e-3)


def test_two_thousand_a_second_need_not_wake_anybody_two_thousand_times() -> None:
    bucket = TokenBucket(Rate(2000))
    now, started, looks = 0.0, 0, 0
    while now < 1.0:
        started += (allowed := bucket.allowed(now))
        bucket.spend(allowed)
        now, looks = bucket.next_at(now), looks + 1
    assert started >= 0.99 * 2000
    assert looks <= 251


@given(st.floats(300, 3000), st.floats(0.1, 0.9))
def test_who_has_room_for_one_at_a_time_is_not_held_up(count: float, share: float) -> None:
    """Items that take up to 0.9 of the time from one start to the next, one after another."""
    bucket = TokenBucket(Rate(count))
    now, started = 0.0, 0
    while now < 1.0:
        if bucket.allowed(now):
            bucket.spend(1)
            started, now = started + 1, now + share / count
        else:
            now = bucket.next_at(now)
    assert started >= count - TICK * count - 2


def test_an_idle_bucket_fills_up_to_its_burst_only() -> None:
    bucket = TokenBucket(Rate(10, burst=3))
    assert bucket.allowed(0.0) == 3
    bucket.spend(3)
    assert bucket.allowed(0.0) == 0
    assert bucket.allowed(1000.0) == 3


@pytest.mark.parametrize(("rate", "most"), [(Rate(10), 1), (Rate(1000), 11), (Rate(1000, burst=50), 50)], ids=str)
def test_an_idle_bucket_gives_ten_milliseconds_worth_or_its_burst_at_once(rate: Rate, most: int) -> None:
    bucket = TokenBucket(rate)
    assert bucket.allowed(0.0) == rate.burst
    assert bucket.allowed(1000.0) == most

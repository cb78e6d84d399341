from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce.errors import UsageError
from atonce.fetch.limits import Policy, Timeouts, Watch

LIMITS = Timeouts(connect=10, first_byte=30, stall=20, total=100, slowest=10)


def test_each_phase_has_its_time() -> None:
    watch = Watch(LIMITS)
    watch.begin(1000)
    assert watch.due == 1010
    assert watch.late(1009.9) is None
    assert watch.late(1010) == "connect"
    watch.sent(1005)
    assert watch.late(1034) is None
    assert watch.late(1035) == "first-byte"
    watch.received(1, 1030)
    assert watch.late(1049) is None
    assert watch.late(1050) == "stall"


def test_a_drip_is_a_stall() -> None:
    watch = Watch(LIMITS)
    watch.begin(0)
    for second in range(20):
        watch.received(second, second)
    assert watch.late(20) == "stall"


def test_what_keeps_the_pace_goes_on_until_the_total() -> None:
    watch = Watch(LIMITS)
    watch.begin(0)
    for second in range(100):
        watch.received(second * 20, second)
        assert watch.late(second) is None
    assert watch.late(100) == "total"


def test_a_redirect_connects_anew_within_the_total() -> None:
    watch = Watch(LIMITS)
    watch.begin(0)
    watch.received(1000, 95)
    watch.connecting(95)
    assert watch.due == 100
    assert watch.late(100) == "total"


STEPS = st.tuples(st.sampled_from(["connecting", "sent", "received"]), st.floats(0, 20), st.integers(0, 1000))


@given(st.lists(STEPS))
def test_no_sequence_outlasts_the_total(steps: list[tuple[str, float, int]]) -> None:
    watch, now, count = Watch(LIMITS), 50.0, 0
    watch.begin(now)
    for step, pause, more in steps:
        now += pause
        count += more
        if step == "received":
            watch.received(count, now)
        else:
            getattr(watch, step)(now)
        assert now < watch.due + 1e-9 or watch.late(now)
        assert watch.due <= 150
    assert watch.late(150) == "total"


@pytest.mark.parametrize("field", ["connect", "first_byte", "stall", "total", "slowest"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), "5", None, True])
def test_timeouts_are_seconds(field: str, value: Any) -> None:
    with pytest.raises(UsageError, match=field):
        Timeouts(**{field: value})


@pytest.mark.parametrize(
    "wrong", [{"max_body": 0}, {"max_body": 1.5}, {"max_redirects": -1}, {"max_redirects": True}, {"user_agent": "a\n"}]
)
def test_policies_are_checked(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Policy(**wrong)


def test_the_clock_is_looked_at_often_enough() -> None:
    assert Timeouts().finest == 1.0
    assert Timeouts(connect=0.5).finest == pytest.approx(0.05)
    assert Timeouts(connect=0.001).finest == 0.01

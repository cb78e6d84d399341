"""The alarm: says once that most fails, and of what."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from atonce.sink.alarm import MOST, WINDOW, Alarm


def test_it_names_the_cause_once() -> None:
    alarm = Alarm()
    said = [alarm.ended("dns" if number % 2 else "connect", f"line {number}: no") for number in range(MOST - 2)]
    said += [alarm.ended("dns", "line 7: no such host") for _ in range(2)]
    assert said[:-1] == [None] * (MOST - 1)
    assert said[-1] == "40 of the last 50 items failed, 21 of them: dns, such as line 7: no such host"
    assert [alarm.ended("dns") for _ in range(500)] == [None] * 500


def test_it_is_raised_again_only_after_most_were_fine() -> None:
    alarm = Alarm()
    for _ in range(WINDOW):
        alarm.ended("dns")
    for _ in range(10):
        alarm.ended()
    assert [alarm.ended("dns") for _ in range(WINDOW)] == [None] * WINDOW
    for _ in range(WINDOW):
        alarm.ended()
    assert [alarm.ended("tls") for _ in range(MOST)][-1] is not None


@given(st.lists(st.sampled_from(["", "", "a", "b"]), max_size=300))
def test_it_speaks_only_where_most_of_the_window_failed(kinds: list[str]) -> None:
    alarm = Alarm()
    for number, kind in enumerate(kinds, 1):
        said = alarm.ended(kind)
        failed = sum(map(bool, kinds[max(0, number - WINDOW) : number]))
        assert said is None or failed >= MOST

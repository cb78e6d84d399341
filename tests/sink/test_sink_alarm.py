"""The alarm: says once that most fails, and of what."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atonce.sink.alarm import HOSTS, MOST, WELL, WINDOW, Alarm


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_it_names_the_cause_once() -> None:
    alarm = Alarm()
    alarm.succeeded()
    said = [alarm.failed("dns" if number % 2 else "connect", f"line {number}: no") for number in range(MOST - 2)]
    said += [alarm.failed("dns", "line 7: no such host") for _ in range(2)]
    assert said[:-1] == [None] * (MOST - 1)
    assert said[-1] == "40 of the last 41 attempts failed, 21 of them: dns, such as line 7: no such host"
    assert [alarm.failed("dns", "") for _ in range(500)] == [None] * 500


def test_it_is_raised_again_only_after_most_were_fine() -> None:
    alarm = Alarm()
    for _ in range(WINDOW):
        alarm.failed("dns", "")
    for _ in range(10):
        alarm.succeeded()
    assert [alarm.failed("dns", "") for _ in range(WINDOW)] == [None] * WINDOW
    for _ in range(WINDOW):
        alarm.succeeded()
    assert [alarm.failed("tls", "") for _ in range(MOST)][-1] is not None


@given(st.lists(st.sampled_from(["", "", "a", "b"]), max_size=300))
def test_it_speaks_only_where_most_of_the_window_failed(kinds: list[str]) -> None:
    alarm = Alarm()
    for number, kind in enumerate(kinds, 1):
        said = alarm.failed(kind, "") if kind else alarm.succeeded()
        failed = sum(map(bool, kinds[max(0, number - WINDOW) : number]))
        assert said is None or failed >= MOST


# ── nobody answers ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_few_attempts_are_enough_where_nobody_has_answered_for_a_while() -> None:
    """A host that does not answer is left alone: it has some 15 attempts in half a minute."""
    alarm = Alarm(clock=(clock := Clock()))
    assert [alarm.failed("connect", "", "a", answered=False) for _ in range(12)] == [None] * 12
    clock.now += 2.9
    assert alarm.failed("connect", "", "a", answered=False) is None
    clock.now += 0.2
    told = alarm.failed("connect", "line 1: refused", "a", answered=False)
    assert told == "no answer for 3 s: all of the last 14 attempts failed, 14 of them: connect, such as line 1: refused"
    assert alarm.failed("connect", "", "a", answered=False) is None


def test_fewer_are_enough_where_each_takes_long() -> None:
    alarm = Alarm(clock=(clock := Clock()))
    clock.now += 10
    told = [alarm.failed("timeout-connect", "", "a", answered=False) for _ in range(4)]
    assert told == [None] * 3 + ["no answer for 10 s: all of the last 4 attempts failed, 4 of them: timeout-connect"]


def test_any_answer_ends_a_silence() -> None:
    alarm = Alarm(clock=(clock := Clock()))
    for number in range(5):
        clock.now += 60
        assert [alarm.failed("connect", "", "a", answered=False) for _ in range(3)] == [None] * 3
        assert alarm.failed("http-4xx", "", "a") is None if number % 2 else alarm.succeeded("a") is None


def test_a_silence_is_counted_from_its_first_failure() -> None:
    alarm = Alarm(clock=(clock := Clock()))
    alarm.succeeded("a")
    clock.now += 600  # nothing was asked for
    assert [alarm.failed("connect", "", "a", answered=False) for _ in range(12)] == [None] * 12
    clock.now += 3
    assert alarm.failed("connect", "", "a", answered=False) is not None


# ── one host among others ────────────────────────────────────────────────────────────────────────────────────────────


def test_hosts_that_are_fine_keep_it_quiet_whatever_one_does() -> None:
    alarm = Alarm(clock=(clock := Clock()))
    alarm.succeeded("good")
    alarm.succeeded("fine")
    for _ in range(1000):
        clock.now += 1
        assert alarm.failed("http-5xx", "", "bad") is None
        assert alarm.failed("connect", "", "bad", answered=False) is None


def test_a_host_that_fails_in_bursts_is_told_of_once_for_each_cause() -> None:
    """While it is left alone, the other host goes on, and most of the last attempts are fine."""
    alarm = Alarm()
    told = []
    for kind in ["http-5xx"] * 6 + ["connect"] * 6:
        for _ in range(WINDOW):
            alarm.succeeded("good")
        alarm.succeeded("bad")  # one now and then
        told += [alarm.failed(kind, "", "bad") for _ in range(WINDOW)]
    assert [each.split(": ")[1] for each in told if each] == ["http-5xx", "connect"]


@pytest.mark.parametrize(("well", "again"), [(WELL, True), (WELL - 1, False)])
def test_a_host_is_told_of_again_once_it_has_been_fine(well: int, again: bool) -> None:
    alarm = Alarm()
    told = [alarm.failed("http-5xx", "", "bad") for _ in range(WINDOW)]
    assert any(told)
    for _ in range(well):
        alarm.succeeded("bad")
    for _ in range(WINDOW):
        alarm.succeeded("good")
    told = [alarm.failed("http-5xx", "", "bad") for _ in range(WINDOW)]
    assert any(told) is again


def test_it_remembers_so_many_hosts_that_were_told_of() -> None:
    alarm = Alarm()
    for number in range(3 * HOSTS):
        alarm.failed("dns", "", str(number))
        if number % HOSTS == 0:
            for each in range(WINDOW):
                alarm.succeeded(f"good {each}")
    assert len(alarm._blamed) <= HOSTS
    assert alarm._blamed.keys() == alarm._well.keys()


def test_hosts_that_have_yet_to_answer_keep_it_quiet_too() -> None:
    unheard = 19
    alarm = Alarm(lambda: unheard)
    assert [alarm.failed("http-5xx", "", "bad") for _ in range(100)] == [None] * 100
    unheard = 0
    assert alarm.failed("http-5xx", "", "bad") is not None


def test_a_network_that_goes_down_is_told_whatever_was_fine_before() -> None:
    alarm = Alarm(clock=(clock := Clock()))
    hosts = [f"host {number}" for number in range(20)]
    for host in hosts:
        alarm.succeeded(host)
    told = []
    for _ in range(4):
        clock.now += 1
        told += [alarm.failed("dns", "", host, answered=False) for host in hosts]
    assert len([each for each in told if each]) == 1


def test_it_remembers_so_many_hosts() -> None:
    alarm = Alarm()
    for number in range(3 * HOSTS):
        alarm.succeeded(str(number)) if number % 2 else alarm.failed("dns", "", str(number))
    assert len(alarm._hosts) == HOSTS
    assert alarm._bad == HOSTS // 2

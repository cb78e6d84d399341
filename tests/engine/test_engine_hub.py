"""The hub: what is posted is seen, what wakes is heard, in whatever moment it comes."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import threading
from collections.abc import Iterator

import pytest

from atonce.engine.events import Ready
from atonce.engine.hub import Hub

# Seconds a `wait` that must return at once is given; only a failing test takes them.
LONG = 20.0


@pytest.fixture
def hub() -> Iterator[Hub]:
    hub = Hub()
    yield hub
    hub.close()


def returns(hub: Hub) -> bool:
    """Whether a `wait` without end returns."""
    waiter = threading.Thread(target=hub.wait, args=(None,), daemon=True)
    waiter.start()
    waiter.join(LONG)
    back = not waiter.is_alive()
    if not back:
        hub.post(Ready(0))
        waiter.join()
    return back


def test_an_event_posted_before_the_wait_ends_it(hub: Hub) -> None:
    hub.post(Ready(1))
    assert returns(hub)
    assert list(hub.events) == [Ready(1)]


def test_a_wake_before_the_wait_ends_it(hub: Hub) -> None:
    """A source that got an item wakes without an event, maybe just before the driver sleeps: it must not be lost."""
    hub.wake()
    assert returns(hub)


def test_a_wake_counts_for_one_wait_only(hub: Hub) -> None:
    hub.wake()
    hub.wait(None)
    hub.wait(0.0)
    polled = selectors.DefaultSelector()
    try:
        polled.register(hub.fileno() or -1, selectors.EVENT_READ)
        assert polled.select(0) == []  # nothing is left over that would make the driver spin
    finally:
        polled.close()


def test_posts_from_many_threads_all_arrive_and_none_is_slept_over(hub: Hub) -> None:
    threads, each = 4, 500

    def poster(number: int) -> None:
        for k in range(each):
            hub.post(Ready(number * each + k))

    posters = [threading.Thread(target=poster, args=(number,)) for number in range(threads)]
    for thread in posters:
        thread.start()
    seen: set[int] = set()
    while len(seen) < threads * each:
        hub.wait(LONG)
        while hub.events:
            seen.add(hub.events.popleft().worker)
    for thread in posters:
        thread.join()
    assert len(seen) == threads * each


def test_ping_pong_never_sleeps_over_a_wake() -> None:
    """Two hubs that only wake each other: one lost wake-up and both sleep for ever."""
    one, two = Hub(), Hub()
    rounds = 2000
    turns = [0, 0]

    def play(mine: Hub, other: Hub, me: int) -> None:
        for number in range(rounds):
            while turns[1 - me] < number + (me == 1):
                mine.wait(None)
            turns[me] += 1
            other.wake()

    players = [threading.Thread(target=play, args=args, daemon=True) for args in ((one, two, 0), (two, one, 1))]
    for player in players:
        player.start()
    for player in players:
        player.join(LONG)
    stuck = any(player.is_alive() for player in players)
    for _ in range(2 * rounds):  # so that nobody is left behind
        if not any(player.is_alive() for player in players):
            break
        one.post(Ready(0))
        two.post(Ready(0))
        one.wake()
        two.wake()
        for player in players:
            player.join(0.005)
    one.close()
    two.close()
    assert turns == [rounds, rounds]
    assert not stuck


def test_a_descriptor_calls_back_and_may_change_its_mind(hub: Hub) -> None:
    here, there = socket.socketpair()
    called: list[tuple[str, int]] = []
    with here, there:
        hub.register(here.fileno(), lambda mask: called.append(("first", mask)))
        hub.wait(0)
        assert called == []
        there.send(b"x")
        hub.wait(None)
        assert called == [("first", selectors.EVENT_READ)]
        hub.register(here.fileno(), lambda mask: called.append(("second", mask)), write=True)
        hub.wait(None)
        assert called[-1] == ("second", selectors.EVENT_READ | selectors.EVENT_WRITE)
        hub.unregister(here.fileno())
        hub.unregister(here.fileno())  # twice is once
        hub.wait(0)
        assert len(called) == 2


def test_the_descriptor_of_a_hub_is_readable_when_it_is_woken_asleep(hub: Hub) -> None:
    """What the async driver watches instead of sleeping in `wait`."""
    here, there = socket.socketpair()
    with here, there, selectors.DefaultSelector() as watched:
        hub.register(here.fileno(), lambda mask: None)
        watched.register(hub.fileno() or -1, selectors.EVENT_READ)
        assert watched.select(0) == []
        there.send(b"x")
        assert len(watched.select(LONG)) == 1


def test_a_driver_that_does_not_sleep_in_wait_is_notified(hub: Hub) -> None:
    told: list[bool] = []
    hub.notify = lambda: told.append(True)
    hub.wake()
    hub.post(Ready(0))
    assert told == [True, True]


@pytest.mark.parametrize("at", [1, 2])
def test_a_signal_whose_handler_raises_leaves_none_of_its_descriptors_to_python(
    hub: Hub, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does so as soon as a call has ended: here the one that sets the descriptor, or the one that sets the former again."""
    setting, calls = signal.set_wakeup_fd, [0]

    def interrupted(fd: int, *, warn_on_full_buffer: bool = True) -> int:
        before = setting(fd, warn_on_full_buffer=warn_on_full_buffer)
        calls[0] += 1
        if calls[0] == at:
            raise KeyboardInterrupt
        return before

    monkeypatch.setattr(signal, "set_wakeup_fd", interrupted)
    with pytest.raises(KeyboardInterrupt):
        hub.wait(0.01)
    assert setting(-1) == -1


def test_waking_a_closed_hub_is_harmless() -> None:
    hub = Hub()
    hub.close()
    hub.wake()
    hub.post(Ready(0))
    assert hub.closed


@pytest.mark.skipif(not hasattr(os, "fork"), reason="descriptors are counted where there is /proc")
def test_closing_gives_back_every_descriptor() -> None:
    for _ in range(3):
        Hub().close()  # the fixture that looks after each test does the counting

"""Connections where descriptors are few: no more of them than there is room for, and who finds none waits."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any

import pytest

from atonce.fetch import Page, Request, Timeouts
from atonce.fetch.api import fetch
from atonce.fetch.attempt import Attempt
from atonce.fetch.limits import Policy
from atonce.fetch.transport import room
from atonce.fetch.transport.room import RESERVE, Room
from atonce.lab import Lab
from atonce.plan.machine import open_descriptors, usable_descriptors

Get = Callable[..., Page]
NONE = OSError(errno.EMFILE, "Too many open files")


def test_some_are_left_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Room()
    assert found.under_way == found.most * 3 // 4
    assert found.most == usable_descriptors() - open_descriptors() - RESERVE
    monkeypatch.setattr(room, "usable_descriptors", lambda: open_descriptors() + 1)
    least = Room()
    assert (least.most, least.under_way) == (2, 1)


def test_who_finds_none_waits_as_long_as_for_a_connection() -> None:
    attempt = Attempt(Request("http://a.example/"), Policy(timeouts=Timeouts(connect=1.0)), 0.0)
    assert not attempt.starves(0.0)
    for now, waits in ((5.0, True), (5.9, True), (6.0, False)):
        attempt.no_socket(NONE)
        assert attempt.starves(now) is waits
    page = attempt.broken("connect", "no", 6.0).page
    assert page is not None
    assert page.error_class == "local-io"


def test_one_that_finds_none_goes_on_when_there_is_one(get: Get, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that there are are taken when the transport is ready, and given back when it has found none three times."""
    resource = pytest.importorskip("resource")
    taken: list[int] = []
    found: list[bool] = []

    def take() -> None:
        while True:
            try:
                taken.append(os.open(os.devnull, os.O_RDONLY))
            except OSError:
                return

    def starves(self: Attempt, now: float) -> bool:
        found.append(starves_(self, now))
        if found.count(True) == 3:
            give_back()
        return found[-1]

    def give_back() -> None:
        while taken:
            os.close(taken.pop())

    def made(self: Room) -> None:
        init(self)
        take()

    init, starves_ = Room.__init__, Attempt.starves
    monkeypatch.setattr(Room, "__init__", made)
    monkeypatch.setattr(Attempt, "starves", starves)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, open_descriptors() + 100), hard))
    try:
        page = get(f"{lab.base}/bytes/10")
    finally:
        give_back()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert (page.error, page.attempts, len(page.body)) == (None, 1, 10)
    assert found.count(True) == 3


@pytest.mark.slow
def test_no_more_are_open_than_there_is_room_for(transport: str, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Idle ones too, of hosts that would keep them."""
    monkeypatch.setattr(room, "usable_descriptors", lambda: open_descriptors() + RESERVE + 8)
    with Lab(hosts=20) as lab:
        options: dict[str, Any] = {"transport": transport, "model": model, "concurrency": 16, "per_key": 16}
        pages = list(fetch(lab.urls(200, "/bytes/10"), **options))
        stats = lab.stats()
    assert all(page.ok for page in pages)
    assert stats.busy_peak <= 6
    assert stats.open_peak < 20  # those that are being closed count as well

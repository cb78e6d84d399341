"""A run of `auto` in curl's loop goes on in several processes when that loop is too little; what it is told is forced here."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from atonce import api
from atonce.engine import conductor
from atonce.fetch.api import FetchJob
from atonce.fetch.limits import Policy
from atonce.fetch.page import Page
from atonce.fetch.transport.curl import Curl
from atonce.lab import Lab
from atonce.outcome import Outcome
from atonce.plan import outgrown
from atonce.plan.plan import Plan
from atonce.sink.shelf import Shelf

HERE = os.getpid()


@pytest.fixture
def joined(monkeypatch: pytest.MonkeyPatch) -> list[Plan]:
    """Each look finds the loop too little, and several processes worth it. The plans of those that joined."""
    plans: list[Plan] = []
    join = conductor.Conductor.join

    def noted(self: Any, plan: Plan) -> None:
        plans.append(plan)
        join(self, plan)

    monkeypatch.setattr(conductor.Conductor, "join", noted)
    monkeypatch.setattr("atonce.api.usable_cpus", lambda: 2)
    monkeypatch.setattr(conductor, "GROWS_AFTER", 0.0)
    monkeypatch.setattr("atonce.engine.growing.EVERY", 0.0)
    monkeypatch.setattr(outgrown.Outgrown, "look", lambda self, reading: True)
    monkeypatch.setattr(outgrown.Outgrown, "why", lambda self, left, carried, calibration: "it was told so")
    return plans


class Fetching:
    """URLs until so many `pids` have brought some, and 200 more; the outcomes, each of which is there once."""

    def __init__(self, lab: Lab, *, pids: int, most: int = 20_000, **options: Any) -> None:
        self._url = lab.urls(1, path="/bytes/3000")[0]
        self._wanted, self._most, self._given = pids, most, 0
        self._options = {"concurrency": 8, "per_key": 8, **options}
        self.outcomes: dict[int, Outcome[Page]] = {}
        self.pids: set[int] = set()

    def _urls(self) -> Iterator[str]:
        while self._given < self._most:
            if len(self.pids) == self._wanted:
                self._most = min(self._most, self._given + 200)
                self._wanted = 0
            yield f"{self._url}?{self._given}"
            self._given += 1

    def __iter__(self) -> Iterator[Outcome[Page]]:
        job = FetchJob("curl", self._options)
        for outcome in api.stream(job.transport, job.items(self._urls()), **job.options):
            assert outcome.index not in self.outcomes
            assert outcome.worker is not None
            self.outcomes[outcome.index] = outcome
            self.pids.add(outcome.worker.pid)
            yield outcome

    def run(self) -> Fetching:
        for _ in self:
            pass
        return self

    def all_ok(self) -> bool:
        return sorted(self.outcomes) == [*range(self._given)] and all(outcome.ok for outcome in self.outcomes.values())


@pytest.mark.parametrize("options", [{}, {"per_key": "auto", "concurrency": "auto"}, {"per_key": None}], ids=str)
def test_it_goes_on_in_two_processes_and_loses_nothing(lab: Lab, joined: list[Plan], options: dict[str, Any]) -> None:
    run = Fetching(lab, pids=2, **options).run()
    assert run.all_ok()
    assert HERE in run.pids
    assert len(run.pids) == 2
    [plan] = joined
    assert (plan.model, plan.parallelism, plan.placement) == ("hybrid", 2, "process")
    assert plan.reasons == ("Curl brings an event loop of its own", "it was told so")


def test_no_more_are_in_flight_than_before(lab: Lab, joined: list[Plan]) -> None:
    run = Fetching(lab, pids=2, concurrency=6, per_key=6).run()
    assert run.all_ok()
    assert [plan.concurrency for plan in joined] == [3]
    assert lab.stats().busy_peak <= 6


def test_few_descriptors_are_no_room_for_another(lab: Lab, joined: list[Plan], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atonce.plan.machine.usable_descriptors", lambda: 30)
    run = Fetching(lab, pids=2, most=300, concurrency=4, per_key=4).run()
    assert run.all_ok()
    assert (run.pids, joined) == ({HERE}, [])


def test_the_one_that_joined_may_die(lab: Lab, joined: list[Plan]) -> None:
    run, killed = Fetching(lab, pids=3), False
    for _ in run:
        if not killed and len(run.pids) > 1:
            [victim] = run.pids - {HERE}
            os.kill(victim, signal.SIGKILL)
            killed = True
    assert run.all_ok()
    assert len(run.pids) == 3  # there was another one in its place


ALONE: list[dict[str, Any]] = [{"model": "coroutines"}, {"cookies": True}]


@pytest.mark.parametrize("options", ALONE, ids=str)
def test_what_stays_in_one_process(lab: Lab, joined: list[Plan], options: dict[str, Any]) -> None:
    run = Fetching(lab, pids=2, most=300, **options).run()
    assert run.all_ok()
    assert run.pids == {HERE}
    assert not joined


@pytest.mark.parametrize(("shelf", "comes"), [(None, b"body"), (Shelf("pages"), b"")])
def test_what_comes_from_elsewhere_is_without_the_body_where_that_is_put_down_there(shelf: Shelf | None, comes: bytes) -> None:
    page = Page("http://a/", "GET", "http://a/", 200, body=b"body", bytes=4, complete=True)
    assert Curl(Policy(shelf=shelf)).atonce_elsewhere(page) == page._replace(body=comes)

"""The tour itself: with measurements made up, and once for real."""

from __future__ import annotations

import dataclasses
import io
import json
from typing import Any, NoReturn

import pytest

from atonce.demo import bench, run, servers, tour
from atonce.demo.claims import CLAIMS
from atonce.demo.probed import SUBJECTS
from atonce.errors import UsageError
from atonce.outcome import Outcome
from atonce.worker.runners.coroutine import new_loop


@pytest.fixture(autouse=True, scope="module")
def libuv_has_its_pipe() -> None:
    """The first uvloop of a process opens a pipe for signals and keeps it for all later ones: no test's leftover."""
    new_loop().close()


def outcome(started: float, ended: float) -> Outcome[None]:
    return Outcome(0, None, True, started=started, ended=ended)


def test_peak_counts_what_overlaps() -> None:
    assert bench.peak([]) == 0
    assert bench.peak([outcome(0, 1), outcome(1, 2)]) == 1
    assert bench.peak([outcome(0, 2), outcome(1, 3), outcome(1.5, 1.6), outcome(5, 6)]) == 3


def test_medians_take_the_ways_in_turn() -> None:
    order: list[str] = []
    values = iter([5.0, 50.0, 1.0, 10.0, 3.0, 30.0])

    def way(name: str) -> Any:
        return lambda: (order.append(name), next(values))[1]

    assert bench.medians(3, way("a"), way("b")) == (3.0, 30.0)
    assert order == ["a", "b"] * 3


def test_a_failed_item_is_no_measurement() -> None:
    with pytest.raises(ZeroDivisionError):
        bench.timed(lambda x: 1 / x, [1, 0], model="sync")


def test_the_environment_does_not_reach_the_measurements(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATONCE_PARALLELISM", "3")
    monkeypatch.setenv("ATONCE_TIMEOUT", "1")
    assert bench.timed(abs, [-1], model="sync")[1].values == [1]


def test_an_unknown_claim_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="C99"):
        run(only=["C99"], stream=io.StringIO())


def fake(monkeypatch: pytest.MonkeyPatch, measure: Any) -> None:
    """One claim, measured by `measure`."""
    claim = dataclasses.replace(CLAIMS[0], measure=measure, tell=lambda _: [], judge=lambda verdict: verdict, probed=())
    monkeypatch.setattr(tour, "chosen", lambda only: (claim,))
    monkeypatch.setattr(tour, "warm", lambda: None)


def test_what_cannot_be_measured_is_said_and_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(_: bench.Bench) -> NoReturn:
        raise OSError("no network at all")

    fake(monkeypatch, measure)
    out = io.StringIO()
    assert run(stream=out) == 1
    assert "could not be measured: OSError: no network at all" in " ".join(out.getvalue().split())


def test_ctrl_c_ends_the_tour_with_a_summary(monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(_: bench.Bench) -> NoReturn:
        raise KeyboardInterrupt

    fake(monkeypatch, measure)
    out = io.StringIO()
    assert run(stream=out) == 130
    assert "In short" in out.getvalue()


class OneAddressLab:
    """As on a machine that has 127.0.0.1 and no other."""

    running = 0

    def __init__(self, hosts: int, **options: float) -> None:
        self.hosts = [f"127.0.0.1:{5000 + OneAddressLab.running}"] * hosts

    def __enter__(self) -> OneAddressLab:
        if len(self.hosts) > 1:
            raise UsageError("cannot listen on 127.0.0.2")
        OneAddressLab.running += 1
        return self

    def __exit__(self, *error: object) -> None:
        OneAddressLab.running -= 1


def test_servers_on_a_machine_with_one_loopback_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "Lab", OneAddressLab)
    with servers.Servers(2) as pair:
        assert pair.urls(3) == ["http://127.0.0.1:5000/?n=0", "http://127.0.0.1:5001/?n=1", "http://127.0.0.1:5000/?n=2"]
        assert OneAddressLab.running == 2
    assert OneAddressLab.running == 0


@pytest.mark.slow
def test_every_claim_can_be_measured() -> None:
    """The demo, quickly and for real: it starts servers, workers and programs of its own, and waits for them."""
    out = io.StringIO()
    assert run(quick=True, json=True, stream=out) == 0
    document = json.loads(out.getvalue())
    assert [claim["id"] for claim in document["claims"]] == [claim.id for claim in CLAIMS]
    assert all(claim["measured"] for claim in document["claims"])
    assert all(probed["items"] >= 1 and probed["work"] for claim in document["claims"] for probed in claim["probed"])
    assert {probed["name"] for claim in document["claims"] for probed in claim["probed"]} == set(SUBJECTS)

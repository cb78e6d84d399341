"""What all clusters share, on the smallest one there is: an event loop of this process. Real workers, real bytes."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest

import atonce
from atonce import errors
from atonce.engine.hub import Hub
from atonce.placement import PLACEMENTS, away, cluster
from atonce.placement.away import TRIES, Far
from atonce.placement.cluster import Cluster, LoopThread
from atonce.placement.host import Host
from atonce.testing import contract

pytestmark = pytest.mark.timeout(40, method="signal")

CHECKS = [check for check in contract.CHECKS if check.__name__ != "a_run_inside_an_item_works"]


class Nearby(Cluster):
    """Its nodes are `Host`s in a thread of this process."""

    name = "dask"
    package = "asyncio"
    here: Nearby  # the one that was made last
    rooms = 2
    versions: ClassVar[dict[str, str]] = {}
    skew = 0.0
    bad_starts = 0

    def connect(self, where: Any) -> None:
        if where == "nowhere":
            raise ConnectionRefusedError("nobody there")
        type(self).here = self
        self.hosts: list[Host] = []
        self.starts = 0
        self.up = True
        self._mine = LoopThread("nearby", contextlib.nullcontext())
        self.loop = self._mine.loop

    def disconnect(self) -> None:
        self._mine.stop()
        assert all(host.over.is_set() for host in self.hosts)

    async def room(self) -> int:
        if not self.up:
            raise ConnectionError("nobody answers")
        return self.rooms

    async def start(self, name: str) -> Far:
        self.starts += 1
        if self.starts <= self.bad_starts:
            raise ConnectionError("the node is gone before it has begun")
        self.hosts.append(Host())
        return partial(self.call, self.hosts[-1])

    async def stop(self, far: Far) -> None:
        pass

    async def call(self, host: Host, method: str, *arguments: Any) -> Any:
        answer = await getattr(host, method)(*arguments)
        if host.over.is_set() and method != "close":
            raise ConnectionError("the node is gone")
        if method == "about":
            return answer | {"versions": answer["versions"] | self.versions, "clock": answer["clock"] + self.skew}
        return answer

    def lose(self, host: Host) -> None:
        """A node goes, with the worker that runs on it."""
        asyncio.run_coroutine_threadsafe(host.close(), self.loop).result()


@pytest.fixture(autouse=True)
def nearby(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PLACEMENTS, "dask", f"{__name__}:Nearby")


TWO = {"model": "dask", "parallelism": 2}
SHAPES = [
    contract.Shape("call", TWO, here=False, at_once=2, threads_at_once=2, kills=True),
    contract.Shape("threads", {**TWO, "concurrency": 2}, here=False, at_once=4, threads_at_once=4, kills=True),
    contract.Shape("coroutines", {**TWO, "concurrency": 2}, awaits=True, here=False, at_once=4, threads_at_once=2, kills=True),
]
# What crosses the wire or ends a worker; the rest of the contract is the engine's, and runs as soak.
WIRED = (
    "carri",
    "pickle",
    "travel",
    "dies",
    "died",
    "dead",
    "kill",
    "timeout",
    "late",
    "stuck",
    "log",
    "when_and_where",
    "once",
)


def parameters() -> list[Any]:
    return [
        pytest.param(
            shape,
            check,
            id=f"{shape}-{check.__name__}",
            marks=() if any(word in check.__name__ for word in WIRED) else pytest.mark.soak,
        )
        for shape in SHAPES
        for check in CHECKS
    ]


@pytest.mark.parametrize(("shape", "check"), parameters())
def test_contract(shape: contract.Shape, check: contract.Check, tmp_path: Path) -> None:
    check(shape, tmp_path)


def test_there_are_as_many_workers_as_there_is_room_for() -> None:
    assert atonce.run(str, range(10), model="dask").plan.headline == "dask: 2 workers × 1 call in flight"


def test_it_grows_while_it_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cluster, "GROWTH", 0.01)
    monkeypatch.setattr(Nearby, "rooms", 1)
    log, meeting = contract.Log(tmp_path / "log"), contract.Meeting(tmp_path / "met", 3)

    def meet(item: int) -> Any:
        log.write(item)
        return meeting(item)

    outcomes = atonce.stream(meet, range(3), model="dask")
    grows = threading.Thread(target=lambda: (log.wait_for(1), monkeypatch.setattr(Nearby, "rooms", 3)))
    grows.start()
    assert {outcome.value for outcome in outcomes} == {0, 1, 2}
    grows.join()


def test_a_node_that_is_lost_costs_nothing_but_time(tmp_path: Path) -> None:
    log = contract.Log(tmp_path / "log")

    def slow(item: int) -> int:
        log.write(item)
        if item == 0 and len([line for line in log.lines() if line == ("0",)]) == 1:
            threading.Event().wait()  # until its node is lost
        return item

    def lose() -> None:
        log.wait_for(1)
        Nearby.here.lose(Nearby.here.hosts[0])

    loses = threading.Thread(target=lose)
    loses.start()
    run = atonce.run(slow, range(50), **{**TWO, "parallelism": 1})
    loses.join()
    assert run.values == list(range(50))
    assert run.stats.workers_lost == 1


def test_a_cluster_that_is_gone_ends_the_run_and_what_was_finished_is_kept(tmp_path: Path) -> None:
    log = contract.Log(tmp_path / "log")

    def until_five(item: int) -> int:
        if item == 5:
            log.write(item)
            threading.Event().wait()
        return item

    def end() -> None:
        log.wait_for(1)
        near = Nearby.here
        near.up = False
        near.lose(near.hosts[0])

    ends = threading.Thread(target=end)
    ends.start()
    with pytest.raises(errors.ClusterError, match="gone") as raised:
        items = itertools.islice(itertools.count(), 10)  # of no known number, so that five may come again
        atonce.run(until_five, items, model="dask", parallelism=1, journal=tmp_path / "journal")
    ends.join()
    assert "journal=" in str(raised.value)
    kept = {outcome.index for outcome in raised.value.run.outcomes}  # type: ignore[attr-defined]
    assert kept <= set(range(5))
    again = atonce.run(until_five, iter(range(5)), model="dask", parallelism=1, journal=tmp_path / "journal")
    assert again.values == list(range(5))
    assert again.stats.resumed == len(kept)


@pytest.mark.parametrize(("what", "version"), [("atonce", "0.0.1"), ("Python", "3.9.1"), ("cloudpickle", "1.6.0")])
def test_another_version_there_is_refused(what: str, version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Nearby, "versions", {what: version})
    with pytest.raises(errors.ClusterError, match=f"{what} {version}".replace(".", r"\.")) as raised:
        atonce.run(str, range(5), **TWO)
    assert f"atonce=={atonce.__version__}" in str(raised.value)


def test_nodes_that_are_lost_while_workers_start_on_them_are_nobodys_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three workers that end before they are ready would end the run: here it is their nodes that went."""
    monkeypatch.setattr(Nearby, "bad_starts", TRIES - 1)
    monkeypatch.setattr(away, "PAUSE", 0.0)
    run = atonce.run(str, range(50), **TWO)
    assert len(run.values) == 50
    assert run.stats.workers_lost == 0


def test_a_cluster_on_which_nothing_starts_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Nearby, "bad_starts", 10**6)
    monkeypatch.setattr(away, "PAUSE", 0.0)
    with pytest.raises(errors.ClusterError, match="no worker could be started") as raised:
        atonce.run(str, range(50), **TWO)
    assert f"atonce=={atonce.__version__}" in str(raised.value)


@pytest.mark.parametrize("parallelism", ["auto", 2])
def test_where_nobody_answers(parallelism: Any) -> None:
    with pytest.raises(errors.ClusterError, match="answers at nowhere"):
        atonce.run(str, range(5), model="dask", cluster="nowhere", parallelism=parallelism)


def test_a_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Nearby, "package", "no_such_library")
    with pytest.raises(errors.PlanError, match="no_such_library") as raised:
        atonce.run(str, range(5), **TWO)
    assert "atonce[dask]" in str(raised.value)


def test_the_clock_of_a_node_is_set_right(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen from here, a node whose clock is an hour ahead reports times that are an hour too late."""
    monkeypatch.setattr(Nearby, "skew", -3600.0)  # what it says of its clock; its items run by the true one
    outcome, failed = atonce.run(_fails_for_one, [0, 1], **TWO).outcomes
    monkeypatch.setattr(Nearby, "skew", 0.0)
    right, _ = atonce.run(_fails_for_one, [0, 1], **TWO).outcomes
    assert outcome.started - right.started > 3000
    assert failed.started - right.started > 3000


def _fails_for_one(item: int) -> int:
    if item:
        raise ValueError(item)
    return item


def test_cluster_needs_a_model_that_has_one() -> None:
    with pytest.raises(errors.UsageError, match="cluster="):
        atonce.run(str, range(5), model="threads", cluster="tcp://127.0.0.1:1")


def test_in_a_worker_of_another_run_it_runs_right_there() -> None:
    def inside(item: int) -> Any:
        run = atonce.run(str, range(3), model="dask", parallelism=2)
        return run.plan.model, run.values

    assert atonce.run(inside, [0], **TWO).values == [("sync", ["0", "1", "2"])]


def test_a_hub_hears_of_room_once_it_is_known() -> None:
    place, hub = Nearby(), Hub()
    place.open(None, hub)
    while not hub.events:
        hub.wait(10)
    assert hub.events.popleft().workers == 2  # type: ignore[union-attr]
    place.close()
    hub.close()


@pytest.mark.parametrize("turns", range(4))
def test_news_that_come_with_a_cancellation_do_not_hide_it(turns: int) -> None:
    """Else a run whose worker says something just then would wait for its end for ever."""

    async def main() -> None:
        host = Host()
        receiving = asyncio.create_task(host.receive(30.0))
        await asyncio.sleep(0.01)
        host._news.set()
        for _ in range(turns):
            await asyncio.sleep(0)
        was_over = receiving.done()
        receiving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await receiving
        assert receiving.cancelled() or was_over

    asyncio.run(main())

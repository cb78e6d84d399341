"""What happens to a cluster under a run: parts of it are killed, stand still, come and go. Each test has one of its own."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from clusters import Real, cluster, connected, needs

import atonce
from atonce import errors
from atonce.placement import ray
from atonce.testing import contract

# Dask and Ray leave processes, threads and descriptors of theirs to be collected
pytestmark = [
    pytest.mark.timeout(180, method="signal"),
    pytest.mark.slow,
    pytest.mark.leaves("process", "descriptor", "thread"),
]


@pytest.mark.parametrize(("kind", "what"), [("dask", "worker"), ("dask", "nanny"), ("ray", "node")])
def test_what_dies_of_a_cluster_costs_nothing_but_time(kind: str, what: str, tmp_path: Path) -> None:
    """Not our process: the cluster's own, in which the host of ours lives. Three do not fit on one of two nodes with room for
    two: at least one is on the one that dies, and its item is not over by then."""
    gate = Gate(tmp_path, range(3))
    needs(kind)
    with cluster(kind, "2") as real, connected(kind, real.address):

        def kill() -> None:
            gate.log.wait_for(3)
            real.end(what)
            while all(psutil.pid_exists(pid) for pid in gate.pids()):
                time.sleep(0.01)
            gate.open()

        with _meanwhile(kill):
            run = atonce.run(gate, range(400), model=kind, cluster=real.address, parallelism=3)
    assert run.values == list(range(400))
    assert run.stats.workers_lost >= 1


class Gate:
    """Some items wait at it, and say so in the log; the others pass."""

    def __init__(self, folder: Path, waits: Collection[int]) -> None:
        self.log, self.waits, self._opened = contract.Log(folder / "log"), waits, folder / "opened"

    def open(self) -> None:
        self._opened.touch()

    def pids(self) -> set[int]:
        """The workers with one of those items."""
        return {int(pid) for (pid,) in self.log.lines()}

    def __call__(self, item: int) -> int:
        if item in self.waits:
            self.log.write(os.getpid())
            while not self._opened.exists():
                time.sleep(0.01)
        return item


@contextlib.contextmanager
def _meanwhile(do: Callable[[], None]) -> Iterator[None]:
    thread = threading.Thread(target=do)
    thread.start()
    try:
        yield
    finally:
        thread.join()


@pytest.mark.parametrize(
    ("kind", "what"),
    [("dask", "scheduler"), pytest.param("ray", "head", marks=pytest.mark.soak)],  # two Ray clusters
)
def test_a_cluster_that_is_gone_leaves_a_journal_to_go_on_from(
    kind: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs(kind)
    monkeypatch.setattr(ray, "AWAY", 2.0)
    gate = Gate(tmp_path, range(60, 300))
    options: dict[str, Any] = {"model": kind, "parallelism": 2, "journal": tmp_path / "journal"}
    kept = []
    with cluster(kind, "2") as real, connected(kind, real.address):
        with pytest.raises(errors.ClusterError, match="gone") as raised:
            for outcome in atonce.stream(gate, range(300), cluster=real.address, **options):
                kept.append(outcome.value)
                if len(kept) == 60:
                    real.end(what)
    assert sorted(kept) == list(range(60))
    assert "journal=" in str(raised.value)
    gate.open()
    with cluster(kind, "2") as real, connected(kind, real.address):
        run = atonce.run(gate, range(300), cluster=real.address, **options)
    assert run.values == list(range(300))
    assert run.stats.resumed == 60


def test_a_node_that_stands_still_holds_up_only_what_it_has(tmp_path: Path) -> None:
    """The others go on; when it wakes, each item has had one outcome."""
    needs("dask")
    gate = Gate(tmp_path, range(2))
    with cluster("dask", "1") as real:

        def suspend() -> None:
            gate.log.wait_for(2)  # one on each node
            _node_of_a_worker(real).suspend()
            gate.open()

        with _meanwhile(suspend):
            outcomes = []
            for outcome in atonce.stream(gate, range(1000), model="dask", cluster=real.address, parallelism=2):
                outcomes.append(outcome)
                if len(outcomes) == 600:  # it has a quarter of its half of them at most
                    _node_of_a_worker(real).resume()
    assert sorted(outcome.value for outcome in outcomes) == list(range(1000))


def _node_of_a_worker(real: Real) -> psutil.Process:
    """The cluster's own process in which a worker of ours has its host."""
    family = psutil.Process(real.process.pid).children(recursive=True)
    templates = [child for child in family if any("atonce.worker.template" in word for word in child.cmdline())]
    nodes = {template.parent() for template in templates} - set(templates)
    return min((node for node in nodes if node is not None), key=lambda node: node.pid)


def test_a_cluster_that_adapts_grows_for_a_run_and_shrinks_again(tmp_path: Path) -> None:
    """It has no node at all before; the second one comes since the first is full, and then the two items meet."""
    needs("dask")
    from distributed import Client

    meeting = contract.Meeting(tmp_path / "met", 2)
    with cluster("dask", "1", "adapt") as real, Client(real.address, set_as_default=False) as client:
        assert not client.nthreads()
        run = atonce.run(meeting, range(2), model="dask", cluster=client, parallelism=2)
        assert run.values == [0, 1]
        while client.nthreads():
            time.sleep(0.05)

"""The contract on clusters, and what only a cluster can do: real ones on this machine."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from clusters import Real, cluster, connected, needs, warm

import atonce
from atonce import errors
from atonce.lab import Lab
from atonce.testing import contract

pytestmark = [pytest.mark.timeout(60, method="signal"), pytest.mark.slow]

# What stands for the rest in `make test`; `make clusters` runs all.
QUICK = {
    "each_item_ends_in_exactly_one_outcome",
    "an_outcome_says_when_and_where",
    "an_exception_brings_its_traceback",
    "what_cannot_be_pickled_costs_its_item_alone",
}


PACKAGES = {"dask": "distributed", "ray": "ray"}


@pytest.fixture(scope="module")
def address(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """(model, address) of a real one."""
    model = request.param
    needs(PACKAGES[model])
    with cluster(model, "8") as real, connected(model, real.address):
        warm(model, real.address)
        yield model, real.address


MANY = {"parallelism": 2, "concurrency": 2}
SHAPES = [
    contract.Shape("call", {"parallelism": 2}, here=False, at_once=2, threads_at_once=2, kills=True),
    contract.Shape("threads", MANY, here=False, at_once=4, threads_at_once=4, kills=True),
    contract.Shape("coroutines", MANY, awaits=True, here=False, at_once=4, threads_at_once=2, kills=True),
]

# Ray keeps processes for later, and its client has threads and sockets.
on_each = pytest.mark.parametrize(
    "address", ["dask", pytest.param("ray", marks=pytest.mark.leaves("process", "descriptor", "thread"))], indirect=True
)


def parameters() -> list[Any]:
    return [
        pytest.param(
            shape, check, id=f"{shape}-{name}", marks=() if name in QUICK and shape.name != "threads" else pytest.mark.soak
        )
        for shape in SHAPES
        for check in contract.CHECKS
        for name in [contract.name_of(check)]
    ]


@on_each
@pytest.mark.parametrize(("shape", "check"), parameters())
def test_contract(address: tuple[str, str], shape: contract.Shape, check: contract.Check, tmp_path: Path) -> None:
    model, where = address
    check(dataclasses.replace(shape, options={**shape.options, "model": model, "cluster": where}), tmp_path)


@on_each
def test_the_item_that_kills_workers_is_named_after_two_tries(address: tuple[str, str]) -> None:
    model, where = address
    run = atonce.run(_kills, range(50), model=model, cluster=where, parallelism=2)
    (failure,) = run.failures
    assert isinstance(failure.error, errors.WorkerDied)
    assert (failure.index, failure.attempts) == (7, 2)
    assert "SIGKILL" in str(failure.error)


def _kills(item: int) -> int:
    if item == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return item


@on_each
def test_a_function_that_cannot_be_pickled_is_refused_before_anything_runs(address: tuple[str, str]) -> None:
    model, where = address
    lock = threading.Lock()
    with pytest.raises(errors.PlanError, match="cannot be pickled"):
        atonce.run(lambda item: (lock, item), range(5), model=model, cluster=where, parallelism=2)


@on_each
def test_a_hybrid_fetch_spreads_over_a_cluster(address: tuple[str, str]) -> None:
    """The native event loop of libcurl in each worker there."""
    model, where = address
    with Lab(hosts=2) as lab:
        options: dict[str, Any] = {"model": model, "cluster": where, "parallelism": 2, "concurrency": 4}
        pages = list(atonce.fetch(lab.urls(40, path="/bytes/1000"), **options))
        assert [page.status for page in pages] == [200] * 40
        assert lab.stats().repeated() == {}


# ── by the command line ──────────────────────────────────────────────────────────────────────────────────────────────


@on_each
@pytest.mark.parametrize("killed", [False, True], ids=["undisturbed", "a worker killed"])
def test_the_same_command_gives_the_same_rows_as_on_one_machine(address: tuple[str, str], killed: bool, tmp_path: Path) -> None:
    """Five thousand items, some of which fail; one of them may kill the worker that runs it for the first time."""
    model, where = address
    lines = [str(number) for number in range(5000)]
    rows = []
    for name, how in (("near", ["--model", "processes"]), ("far", ["--model", model, "--cluster", where])):
        if killed:
            lines[2500] = f"2500 {tmp_path / name}"
        items, output = tmp_path / "items.txt", tmp_path / f"{name}.jsonl"
        items.write_text("\n".join(lines))
        command = [sys.executable, "-m", "atonce", "map", "cluster_job:job", "-i", str(items), "-o", str(output), *how]
        told = subprocess.run([*command, "--parallelism", "2"], cwd=Path(__file__).parent, capture_output=True, text=True)
        assert told.returncode == 1, told.stderr  # some failed
        assert (tmp_path / name).exists() is killed
        found = [json.loads(line) for line in output.read_text().splitlines()]
        rows.append(sorted((row["index"], row["ok"], row.get("value"), row.get("error")) for row in found))
    assert rows[0] == rows[1]
    assert [index for index, *_ in rows[0]] == list(range(5000))
    assert [index for index, ok, *_ in rows[0] if not ok] == [7, 1007, 2007, 3007, 4007]


# ── what happens to the cluster itself: each has one of its own ──────────────────────────────────────────────────────


@pytest.mark.leaves("process", "descriptor", "thread")
@pytest.mark.parametrize(("kind", "what"), [("dask", "worker"), ("dask", "nanny"), ("ray", "node")])
def test_what_dies_of_a_cluster_costs_nothing_but_time(kind: str, what: str, tmp_path: Path) -> None:
    """Not our process: the cluster's own, in which the host of ours lives. Three do not fit on one of two nodes with room for
    two: at least one is on the one that dies, and its item is not over by then."""
    gate = Gate(tmp_path, range(3))
    needs(PACKAGES[kind])
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


@pytest.mark.leaves("process", "descriptor", "thread")
def test_a_scheduler_that_ends_leaves_a_journal_to_go_on_from(tmp_path: Path) -> None:
    needs("distributed")
    gate = Gate(tmp_path, range(60, 300))
    options: dict[str, Any] = {"model": "dask", "parallelism": 2, "journal": tmp_path / "journal"}
    kept = []
    with cluster("dask", "2") as real:
        with pytest.raises(errors.ClusterError, match="gone") as raised:
            for outcome in atonce.stream(gate, range(300), cluster=real.address, **options):
                kept.append(outcome.value)
                if len(kept) == 60:
                    real.end("scheduler")
    assert sorted(kept) == list(range(60))
    assert "journal=" in str(raised.value)
    gate.open()
    with cluster("dask", "2") as real:
        run = atonce.run(gate, range(300), cluster=real.address, **options)
    assert run.values == list(range(300))
    assert run.stats.resumed == 60


@pytest.mark.leaves("process", "descriptor", "thread")
def test_a_node_that_stands_still_holds_up_only_what_it_has(tmp_path: Path) -> None:
    """The others go on; when it wakes, each item has had one outcome."""
    needs("distributed")
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


@pytest.mark.leaves("process", "descriptor", "thread")
def test_a_cluster_that_adapts_grows_for_a_run_and_shrinks_again(tmp_path: Path) -> None:
    """It has no node at all before; the second one comes since the first is full, and then the two items meet."""
    needs("distributed")
    from distributed import Client

    meeting = contract.Meeting(tmp_path / "met", 2)
    with cluster("dask", "1", "adapt") as real, Client(real.address, set_as_default=False) as client:
        assert not client.nthreads()
        run = atonce.run(meeting, range(2), model="dask", cluster=client, parallelism=2)
        assert run.values == [0, 1]
        while client.nthreads():
            time.sleep(0.05)


@pytest.mark.parametrize("address", ["dask"], indirect=True)
def test_another_atonce_there_is_refused(address: tuple[str, str]) -> None:
    from distributed import Client

    with Client(address[1], set_as_default=False) as client:
        client.run(setattr, atonce, "__version__", "0.0.1")
        try:
            with pytest.raises(errors.ClusterError, match=r"atonce 0\.0\.1"):
                atonce.run(str, range(5), model="dask", cluster=client, parallelism=2)
        finally:
            client.run(setattr, atonce, "__version__", atonce.__version__)

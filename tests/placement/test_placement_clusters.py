"""The contract on clusters, and what only a cluster can do: real ones on this machine."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest
from clusters import cluster, connected, needs, warm

import atonce
from atonce import errors
from atonce.lab import Lab
from atonce.placement import dask
from atonce.testing import contract

pytestmark = [pytest.mark.timeout(180, method="signal"), pytest.mark.slow]

# What stands for the rest in `make test`; `make clusters` runs all.
QUICK = {
    "each_item_ends_in_exactly_one_outcome",
    "an_outcome_says_when_and_where",
    "an_exception_brings_its_traceback",
    "what_cannot_be_pickled_costs_its_item_alone",
}


@pytest.fixture(scope="module")
def address(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """(model, address) of a real one."""
    model = request.param
    needs(model)
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
def test_an_executor_keeps_its_workers_and_loses_the_call_that_kills_them_alone(address: tuple[str, str]) -> None:
    model, where = address
    with atonce.Executor(model, 2, cluster=where) as executor:
        first = {executor.submit(os.getpid).result() for _ in range(10)}
        bad, good = executor.submit(_kills, 7), executor.map(_kills, range(5))
        with pytest.raises(BrokenProcessPool, match="SIGKILL"):
            bad.result()
        assert list(good) == [*range(5)]
        assert list(executor.map(str, range(50), chunksize=10)) == [*map(str, range(50))]
    assert len(first) <= 2
    assert os.getpid() not in first


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


@pytest.mark.parametrize("address", ["dask"], indirect=True)
def test_a_dask_worker_that_cannot_be_reached_from_here_is_called_through_the_scheduler(
    address: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unreachable(self: dask.Dask, *call: Any) -> Any:
        raise OSError("no route to host")

    monkeypatch.setattr(dask.Dask, "_call_straight", unreachable)
    run = atonce.run(str, range(500), model="dask", cluster=address[1], parallelism=2)
    assert run.values == [str(item) for item in range(500)]


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

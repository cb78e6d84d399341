"""The contract on clusters, and what only a cluster can do: real ones on this machine."""

from __future__ import annotations

import dataclasses
import functools
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from clusters import cluster, connected, needs, warm

import atonce
from atonce import errors
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
    with cluster(model) as (where, _), connected(model, where):
        warm(model, where)
        yield model, where


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
def test_the_same_job_gives_the_same_outcomes_also_with_a_worker_killed(address: tuple[str, str], tmp_path: Path) -> None:
    model, where = address
    job = functools.partial(_kills_once, str(tmp_path / "killed"))
    runs = [
        atonce.run(job, range(5000), **options)
        for options in ({"model": "processes"}, {"model": model, "cluster": where, "parallelism": 2})
        if not (tmp_path / "killed").unlink(missing_ok=True)
    ]
    same = [[(o.index, o.ok, o.value, str(o.error)) for o in run.outcomes] for run in runs]
    assert same[0] == same[1]
    assert [run.stats.workers_lost for run in runs] == [1, 1]


def _kills_once(mark: str, item: int) -> int:
    if item == 2500:
        try:
            os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return item
        os.kill(os.getpid(), signal.SIGKILL)
    if item % 1000 == 7:
        raise ValueError(item)
    return item


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


# ── what happens to the cluster itself: each has one of its own ──────────────────────────────────────────────────────


@pytest.mark.soak
@pytest.mark.leaves("process", "descriptor", "thread")
@pytest.mark.parametrize("kind", PACKAGES)
def test_a_dask_worker_or_ray_node_killed_costs_nothing_but_time(kind: str, tmp_path: Path) -> None:
    """Not our process: the cluster's own, in which the host of ours lives. Twelve do not fit on one Ray node of eight."""
    count = 3000
    log = contract.Log(tmp_path / "log")
    needs(PACKAGES[kind])
    with cluster(kind) as (where, process), connected(kind, where):
        kills = threading.Thread(target=lambda: (log.wait_for(20), _kill_one(kind, process)))
        kills.start()
        run = atonce.run(functools.partial(_slow, log), range(count), model=kind, cluster=where, parallelism=12)
        kills.join()
    assert run.values == list(range(count))
    assert run.stats.workers_lost >= 1


def _kill_one(kind: str, process: Any) -> None:
    if kind == "ray":
        process.stdin.write("\n")
        process.stdin.flush()
        return
    family = psutil.Process(process.pid).children(recursive=True)
    worker = next(child for child in family if any("atonce.worker.template" in word for word in child.cmdline())).parent()
    assert worker is not None
    worker.kill()


def _slow(log: contract.Log, item: int) -> int:
    log.write(item)
    time.sleep(0.02)  # it is work that takes a while
    return item


@pytest.mark.soak
@pytest.mark.leaves("process", "descriptor", "thread")
def test_a_dask_scheduler_that_ends_leaves_a_journal_to_go_on_from(tmp_path: Path) -> None:
    needs("distributed")
    log = contract.Log(tmp_path / "log")
    job = functools.partial(_slow, log)
    options = {"model": "dask", "parallelism": 2, "journal": tmp_path / "journal"}
    with cluster("dask") as (where, process):
        assert process.stdin is not None
        stdin = process.stdin
        ends = threading.Thread(target=lambda: (log.wait_for(50), stdin.write("\n"), stdin.flush()))
        ends.start()
        with pytest.raises(errors.ClusterError, match="gone"):
            atonce.run(job, range(300), cluster=where, **options)
        ends.join()
    with cluster("dask") as (where, _):
        run = atonce.run(job, range(300), cluster=where, **options)
    assert run.values == list(range(300))
    assert run.stats.resumed > 0

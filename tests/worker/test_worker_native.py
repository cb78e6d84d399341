"""Native thread pools in workers: as many threads as the worker has cores, whenever the library was loaded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import atonce
from atonce.placement.process import shut_down
from atonce.plan.machine import usable_cpus
from atonce.worker.main import NATIVE_THREADS

pytestmark = [pytest.mark.timeout(60, method="signal"), pytest.mark.slow]
pytest.importorskip("numpy")
SHAPES = [{"model": "processes"}, {"model": "hybrid", "concurrency": 3}]


@pytest.fixture(autouse=True)
def nobody_says_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NATIVE_THREADS:
        monkeypatch.delenv(name, raising=False)


def _pools(_: Any) -> list[int]:
    import numpy
    import threadpoolctl

    numpy.ones((200, 200)) @ numpy.ones((200, 200))
    return [pool["num_threads"] for pool in threadpoolctl.threadpool_info()]


@pytest.mark.parametrize("options", SHAPES, ids=str)
@pytest.mark.parametrize("parallelism", [1, 2, 2 * usable_cpus()])
def test_loaded_by_an_item(options: dict[str, Any], parallelism: int) -> None:
    pools = list(atonce.map(_pools, range(3), parallelism=parallelism, **options))
    share = max(1, usable_cpus() // parallelism)
    assert pools
    assert all(number == share for pool in pools for number in pool)


@pytest.mark.parametrize("options", SHAPES, ids=str)
@pytest.mark.parametrize(("told", "parallelism"), [(None, 2 * usable_cpus()), ("1", 1)])
def test_loaded_before_the_worker_was_told(
    options: dict[str, Any], told: str | None, parallelism: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the template: here by what the site does at every start of Python. The variables come too late for it."""
    (tmp_path / "sitecustomize.py").write_text("import numpy", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path) + os.pathsep + os.environ.get("PYTHONPATH", ""))
    if told is not None:
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", told)
    shut_down()
    try:
        pools = list(atonce.map(_pools, range(3), parallelism=parallelism, **options))
    finally:
        shut_down()
    assert pools
    assert all(number == 1 for pool in pools for number in pool)

"""Real clusters on this machine, each in a process of its own that ends with its standard input."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

import atonce

PACKAGES = {"dask": "distributed", "ray": "ray"}


def needs(model: str) -> None:
    if importlib.util.find_spec(PACKAGES[model]) is None:
        pytest.skip(f"{PACKAGES[model]} is not installed")


class Real:
    """A cluster: its address, and a process that is told what is to end."""

    def __init__(self, address: str, process: subprocess.Popen[str]) -> None:
        self.address, self.process = address, process

    def end(self, what: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{what}\n")
        self.process.stdin.flush()


@contextlib.contextmanager
def cluster(script: str, *arguments: str) -> Iterator[Real]:
    """Of two nodes; the first argument is how many workers of ours each has room for."""
    program = os.path.join(os.path.dirname(__file__), f"{script}_cluster.py")
    process = subprocess.Popen(
        [sys.executable, program, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        address = process.stdout.readline().strip()
        assert address, f"{script} did not start"
        yield Real(address, process)
    finally:
        process.stdin.close()
        process.wait(60)
        process.stdout.close()


@contextlib.contextmanager
def connected(model: str, address: str) -> Iterator[None]:
    """This process stays in a Ray cluster meanwhile: the client leaves files open each time it is left."""
    if model != "ray":
        yield
        return
    import ray

    ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    try:
        yield
    finally:
        ray.shutdown()


def warm(model: str, address: str) -> None:
    """Every process of the cluster has what it keeps from now on."""
    atonce.run(str, range(16), model=model, cluster=address, parallelism=16)

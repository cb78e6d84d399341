from __future__ import annotations

import asyncio
import hashlib
import os
import pickle
import subprocess
import sys
import threading
import time

import pytest

from atonce.lab import work


def test_spin_burns_the_cpu_time_it_was_told() -> None:
    before = time.thread_time()
    burnt = work.spin(0.02)
    assert 0.02 <= burnt <= time.thread_time() - before


def test_count() -> None:
    assert work.count(5) == 0 + 1 + 2 + 3 + 4


def test_naps() -> None:
    assert work.nap(0) == 0
    assert asyncio.run(work.anap(0)) == 0


def test_noops() -> None:
    x = object()
    assert work.noop(x) is x
    assert asyncio.run(work.anoop(x)) is x


@pytest.mark.parametrize("size", [0, 1, 1000, 1 << 20, (1 << 20) + 1, 5_000_000])
def test_digest(size: int) -> None:
    assert work.digest(size) == hashlib.sha256(bytes(size)).hexdigest()


def test_die() -> None:
    code = "from atonce.lab import work; work.die(7)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 7


def test_whoami() -> None:
    assert work.whoami(3) == (os.getpid(), threading.get_ident())


@pytest.mark.parametrize("name", work.__all__)
def test_each_is_documented_and_goes_by_name(name: str) -> None:
    function = getattr(work, name)
    assert function.__doc__
    assert pickle.loads(pickle.dumps(function)) is function

"""How many CPUs this process may use: the least of what it is told, in a table of machines."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator

import pytest

from atonce.plan import machine


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    machine.usable_cpus.cache_clear()
    yield
    machine.usable_cpus.cache_clear()


def pretend(
    monkeypatch: pytest.MonkeyPatch, *, affinity: int, told: str | None = None, files: dict[str, str] | None = None
) -> None:
    def text(name: str) -> str:
        if files and name in files:
            return files[name]
        raise FileNotFoundError(name)

    monkeypatch.setattr(os, "process_cpu_count", lambda: affinity, raising=False)
    monkeypatch.setattr(machine, "_text", text)
    monkeypatch.delenv("ATONCE_CORES", raising=False)
    if told is None:
        monkeypatch.delenv("PYTHON_CPU_COUNT", raising=False)
    else:
        monkeypatch.setenv("PYTHON_CPU_COUNT", told)


V2 = "/sys/fs/cgroup/cpu.max"
QUOTA = "/sys/fs/cgroup/cpu/cpu.cfs_quota_us"
PERIOD = "/sys/fs/cgroup/cpu/cpu.cfs_period_us"


@pytest.mark.parametrize(
    ("affinity", "told", "files", "expected"),
    [
        (8, None, {}, 8),
        (8, None, {V2: "max 100000\n"}, 8),
        (8, None, {V2: "200000 100000\n"}, 2),
        (8, None, {V2: "250000 100000\n"}, 3),
        (8, None, {V2: "50000 100000\n"}, 1),
        (8, None, {V2: "10000 100000\n"}, 1),
        (2, None, {V2: "800000 100000\n"}, 2),
        (8, None, {QUOTA: "-1\n", PERIOD: "100000\n"}, 8),
        (8, None, {QUOTA: "300000\n", PERIOD: "100000\n"}, 3),
        (8, None, {V2: "nonsense"}, 8),
        (8, "3", {}, 3),
        (8, "0", {}, 8),
        (8, "many", {}, 8),
        (8, "6", {V2: "200000 100000\n"}, 2),
    ],
)
def test_usable_cpus(
    affinity: int, told: str | None, files: dict[str, str], expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, affinity=affinity, told=told, files=files)
    assert machine.usable_cpus() == expected


@pytest.mark.parametrize(("share", "expected"), [("3", 3), ("20", 8), ("0", 8), ("", 8), ("many", 8)])
def test_a_worker_has_its_share(share: str, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, affinity=8)
    monkeypatch.setenv("ATONCE_CORES", share)
    assert machine.usable_cpus() == expected


def test_here_and_now_there_is_at_least_one() -> None:
    assert 1 <= machine.usable_cpus() <= (os.cpu_count() or 1)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux tells")
def test_what_the_whole_machine_used_goes_on() -> None:
    before, spent = machine.cpu_used(), time.process_time()
    while time.process_time() - spent < 0.05:
        pass
    after = machine.cpu_used()
    assert before is not None
    assert after is not None
    assert after - before >= 0.02  # it counts in hundredths


def test_where_the_system_does_not_tell_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_text", lambda _: "nothing of the kind")
    assert machine.cpu_used() is None

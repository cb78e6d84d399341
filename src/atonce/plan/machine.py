"""What the machine offers, as far as this process may use it."""

from __future__ import annotations

import dataclasses
import functools
import os
import sys
from collections.abc import Callable

from ..worker.nesting import cores, depth

__all__ = [
    "Machine",
    "cpu_used",
    "gil_enabled",
    "load",
    "look_around",
    "open_descriptors",
    "python",
    "usable_cpus",
    "usable_descriptors",
]


# What is open here of a run in several processes: a dozen and a dozen more for a moment while they start, what its items and
# outputs take; two for each worker, and as many while it starts. `strace` of a fetch with two of them: 29 at `ulimit -n 30`.
DESCRIPTORS, DESCRIPTORS_EACH = 56, 4


@dataclasses.dataclass(frozen=True, slots=True)
class Machine:
    """What a plan may count on, as of now.

    `cpus` this process may use; `memory` bytes it may still take and `descriptors` it may open, None where nothing says;
    `gil` whether the GIL is on at this moment (an extension may switch it back on); `interpreters` whether there are
    sub-interpreters; `start_method` how worker processes come about; `load` how many programs wanted a core in the last
    minute, on average; `depth` in how many workers of other runs, one inside the other, this is.
    """

    cpus: int
    memory: int | None = None
    descriptors: int | None = None
    gil: bool = True
    python: str = ""
    interpreters: bool = False
    start_method: str = "forkserver"
    load: float = 0.0
    depth: int = 0

    @property
    def has_room_for_processes(self) -> bool:
        """Whether workers of their own leave enough descriptors to what the run has open besides."""
        return self.descriptors is None or self.descriptors >= DESCRIPTORS + DESCRIPTORS_EACH * self.cpus

    def __str__(self) -> str:
        gil = "with the GIL" if self.gil else "without the GIL"
        memory = "" if self.memory is None else f", {self.memory / 2**30:.1f} GiB of memory free"
        return f"{self.cpus} core{'s' * (self.cpus > 1)} usable{memory}; {self.python} {gil}; workers by {self.start_method}"


def look_around() -> Machine:
    """The machine as it is now: a few system calls and small files, about 0.1 ms."""
    return Machine(
        cpus=usable_cpus(),
        memory=_memory(),
        descriptors=usable_descriptors(),
        gil=gil_enabled(),
        python=python(),
        interpreters=sys.version_info >= (3, 14),
        start_method="forkserver" if sys.platform.startswith("linux") else "spawn",
        load=load(),
        depth=depth(),
    )


def python() -> str:
    """`CPython 3.13.0`. `platform` says it as well, 2 ms of import later."""
    name = sys.implementation.name
    return f"{_NAMES.get(name, name)} {sys.version.split()[0]}"


_NAMES = {"cpython": "CPython", "pypy": "PyPy"}


def cpu_used() -> float | None:
    """CPU seconds that have been used on this machine, by whomever; None where the system does not tell (Linux does)."""
    try:
        fields = _text("/proc/stat").split(maxsplit=9)
        user, nice, system, _idle, _waiting, irq, softirq, stolen = map(int, fields[1:9])
    except (OSError, ValueError):
        return None
    return (user + nice + system + irq + softirq + stolen) / os.sysconf("SC_CLK_TCK")


def gil_enabled() -> bool:
    """Whether there is a GIL at this moment: what is imported later may switch it back on in a free-threaded build."""
    asked: Callable[[], bool] = getattr(sys, "_is_gil_enabled", lambda: True)
    return asked()


@functools.cache
def usable_cpus() -> int:
    """CPUs this process may use: the least of affinity, the cgroup's quota and `PYTHON_CPU_COUNT`; at least 1.

    In a worker process it is that worker's share of them.
    """
    if hasattr(os, "process_cpu_count"):  # 3.13: affinity and PYTHON_CPU_COUNT
        count = os.process_cpu_count() or 1
    elif hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    told = os.environ.get("PYTHON_CPU_COUNT", "")
    if told.isdecimal() and int(told) > 0:
        count = int(told)
    if share := cores():
        count = min(count, share)
    quota = _cgroup_quota()
    return max(1, min(count, int(quota + 0.5)) if quota else count)


def _cgroup_quota() -> float | None:
    """Cores the cgroup (version 2, then 1) allows, or None when it sets no limit."""
    try:
        limit, period = _text("/sys/fs/cgroup/cpu.max").split()
        return None if limit == "max" else int(limit) / int(period)
    except (OSError, ValueError):
        pass
    try:
        limit_us = int(_text("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"))
        period_us = int(_text("/sys/fs/cgroup/cpu/cpu.cfs_period_us"))
        return limit_us / period_us if limit_us > 0 else None
    except (OSError, ValueError):
        return None


def _memory() -> int | None:
    """Bytes that can still be taken: the machine's (MemAvailable), or the cgroup's where that is less."""
    free = [_available(), *(_cgroup_memory(limit, used) for limit, used in _CGROUP_MEMORY)]
    return min((each for each in free if each is not None), default=None)


_CGROUP_MEMORY = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


def _cgroup_memory(limit: str, used: str) -> int | None:
    try:
        most = _text(limit).strip()
        # version 1 says "no limit" by a number near 2**63
        if most == "max" or int(most) >= 2**60:
            return None
        return max(0, int(most) - int(_text(used)))
    except (OSError, ValueError):
        return None


def _available() -> int | None:
    try:
        for line in _text("/proc/meminfo").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    try:
        import psutil

        return int(psutil.virtual_memory().available)
    except Exception:  # not there, or not on this platform
        return None


def usable_descriptors() -> int:
    """Files and sockets this process may have open at once (`ulimit -n`)."""
    try:
        import resource
    except ImportError:  # Windows: sockets are not counted with files
        return 8192
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 20 if soft == resource.RLIM_INFINITY else soft


def open_descriptors() -> int:
    """Those that this process has open; 0 where the system does not list them."""
    for folder in ("/proc/self/fd", "/dev/fd"):
        try:
            return len(os.listdir(folder))
        except OSError:
            continue
    return 0


def load() -> float:
    """How many programs wanted a core in the last minute, on average; 0 where the system does not tell."""
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):  # not on Windows; not everywhere in a container
        return 0.0


def _text(name: str) -> str:
    """Of a small file, and without `pathlib`, which a run that is done soon need not load."""
    with open(name, encoding="ascii") as file:
        return file.read()

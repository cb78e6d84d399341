"""What the machine offers, as far as this process may use it."""

from __future__ import annotations

import functools
import os
from pathlib import Path

from ..worker.nesting import CORES

__all__ = ["usable_cpus", "usable_descriptors"]


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
    share = os.environ.get(CORES, "")
    if share.isdecimal() and int(share) > 0:
        count = min(count, int(share))
    quota = _cgroup_quota()
    return max(1, min(count, int(quota + 0.5)) if quota else count)


def _cgroup_quota() -> float | None:
    """Cores the cgroup (version 2, then 1) allows, or None when it sets no limit."""
    try:
        limit, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return None if limit == "max" else int(limit) / int(period)
    except (OSError, ValueError):
        pass
    try:
        base = Path("/sys/fs/cgroup/cpu")
        limit_us = int((base / "cpu.cfs_quota_us").read_text(encoding="ascii"))
        period_us = int((base / "cpu.cfs_period_us").read_text(encoding="ascii"))
        return limit_us / period_us if limit_us > 0 else None
    except (OSError, ValueError):
        return None


def usable_descriptors() -> int:
    """Files and sockets this process may have open at once (`ulimit -n`)."""
    try:
        import resource
    except ImportError:  # Windows: sockets are not counted with files
        return 8192
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 20 if soft == resource.RLIM_INFINITY else soft

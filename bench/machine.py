"""What the figures depend on: the machine, the versions, how busy it is. No name and no path of the machine is kept."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

__all__ = ["facts", "load"]

PACKAGES = (
    "aiohttp",
    "aiometer",
    "atonce",
    "distributed",
    "joblib",
    "mpire",
    "pebble",
    "pycurl",
    "ray",
    "streamable",
    "uvloop",
)


def facts() -> dict[str, Any]:
    """For the record."""
    return {
        "cpu": _cpu(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "gil": getattr(sys, "_is_gil_enabled", lambda: True)(),
        "versions": {name: version for name in PACKAGES if (version := _version(name))},
        "load": load(),
    }


def load() -> float:
    """Processes that wanted a core during the last minute, on average."""
    return round(os.getloadavg()[0], 2)


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        if name != "atonce":
            return None
    import atonce  # run from its source tree, not installed

    return atonce.__version__

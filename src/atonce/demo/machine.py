"""The machine and the Python that everything is measured on."""

from __future__ import annotations

import os
import platform
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass

from ..plan.machine import usable_cpus

__all__ = ["Machine", "machine"]


@dataclass(frozen=True, slots=True)
class Machine:
    """`cores` are those this process may use; `gil` whether it is on now; `build` "default" or "free-threaded".

    `load` is how many other programs wanted a core in the last minute, on average.
    """

    python: str
    build: str
    gil: bool
    system: str
    cores: int
    load: float = 0.0


def machine() -> Machine:
    free = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    gil_enabled: Callable[[], bool] = getattr(sys, "_is_gil_enabled", lambda: True)
    return Machine(
        python=f"{platform.python_implementation()} {platform.python_version()}",
        build="free-threaded" if free else "default",
        gil=gil_enabled(),
        system=f"{platform.system()} {platform.machine()}".strip(),
        cores=usable_cpus(),
        load=_load(),
    )


def _load() -> float:
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):  # not on Windows; not everywhere in a container
        return 0.0

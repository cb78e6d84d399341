"""The machine and the Python that everything is measured on."""

from __future__ import annotations

import platform
import sysconfig
from dataclasses import dataclass

from ..plan.machine import gil_enabled, load, python, usable_cpus

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
    return Machine(
        python=python(),
        build="free-threaded" if free else "default",
        gil=gil_enabled(),
        system=f"{platform.system()} {platform.machine()}".strip(),
        cores=usable_cpus(),
        load=load(),
    )

"""The lab: an HTTP/1.1 server on loopback that behaves, and misbehaves, exactly as told, and counts what it saw.

    from atonce.lab import Lab

    with Lab(hosts=3, latency=0.05) as lab:
        for url in lab.urls(30, path="/bytes/1000"):
            ...
        assert lab.stats().repeated() == {}

`Lab` runs the server in a process of its own; `serve(Config(...))` runs it in this one, until Ctrl-C, and
`python -m atonce.lab --help` does so from a shell. `atonce.lab.work` holds workloads to hand to `atonce.map`.
The names are loaded on first use: importing this package costs nothing worth measuring.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .client import Lab
    from .config import Addresses, Config
    from .counters import HostStats, Stats
    from .server import serve

__all__ = ["Addresses", "Config", "HostStats", "Lab", "Stats", "serve"]

_HOME = {
    "Addresses": "config",
    "Config": "config",
    "HostStats": "counters",
    "Lab": "client",
    "Stats": "counters",
    "serve": "server",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

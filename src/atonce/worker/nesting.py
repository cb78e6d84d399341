"""How deep a process stands in workers of workers, and how many cores it has got: two environment variables say it.

The environment, since it reaches programs that an item starts, too: a script that uses atonce is then not the root again. An
interpreter that is one of several in its process is told here instead: the environment is everybody's.
"""

from __future__ import annotations

import _thread
import os

__all__ = ["CORES", "DEPTH", "cores", "daemons_allowed", "depth", "environment", "go_inside"]

DEPTH = "ATONCE_DEPTH"
CORES = "ATONCE_CORES"


_inside: dict[str, str] = {}  # in an interpreter: what the environment would say, were it a process


def depth() -> int:
    """0 in a process that nobody of us has started, 1 in a worker, 2 in a worker's worker."""
    return _told(DEPTH) or 0


def cores() -> int | None:
    """A worker's share of the cores."""
    return _told(CORES) or None


def environment() -> dict[str, str]:
    """The environment as a worker of this process or interpreter is to inherit it."""
    return {**os.environ, **_inside}


def go_inside(share: int) -> None:
    """This interpreter is a worker."""
    _inside.update({DEPTH: str(depth() + 1), CORES: str(share)})


def daemons_allowed() -> bool:
    """Whether a thread may be left to the end of the process: not in an interpreter that is a part of one."""
    return bool(getattr(_thread, "daemon_threads_allowed", lambda: True)())


def _told(name: str) -> int:
    told = _inside.get(name) or os.environ.get(name, "")
    return int(told) if told.isdecimal() else 0

"""How deep a process stands in workers of workers, and how many cores it has got: two environment variables say it.

The environment, since it reaches programs that an item starts, too: a script that uses atonce is then not the root again.
"""

from __future__ import annotations

import os

__all__ = ["CORES", "DEPTH", "depth"]

DEPTH = "ATONCE_DEPTH"
CORES = "ATONCE_CORES"


def depth() -> int:
    """0 in a process that nobody of us has started, 1 in a worker, 2 in a worker's worker."""
    told = os.environ.get(DEPTH, "")
    return int(told) if told.isdecimal() else 0

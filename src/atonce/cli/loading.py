"""What a command loads stays until its end: `uncollected`."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator

__all__ = ["uncollected"]


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Loading makes a hundred thousand objects. The garbage collector would look at them some thirty times on the way, 40 of
    the 190 ms until the first request, and once in a while later on: neither meanwhile nor afterwards does it."""
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.freeze()
            gc.enable()

"""What the garbage collector leaves alone: what a command loads (`uncollected`), what fetching makes (`seldom_collected`)."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator

__all__ = ["seldom_collected", "uncollected"]


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


@contextlib.contextmanager
def seldom_collected() -> Iterator[None]:
    """Ten times less often. Fetching makes thousands of pages and rows, and little that refers to itself (exceptions do):
    looking through them was a tenth of what a page cost the thread that hands them on."""
    before = gc.get_threshold()
    gc.set_threshold(10 * before[0], *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)

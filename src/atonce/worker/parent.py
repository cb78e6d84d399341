"""A process that ends with the one that started it, however that ends: `end_with_parent`."""

from __future__ import annotations

import signal

__all__ = ["end_with_parent"]

_PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Linux kills this process when the thread that forked it has ended. Raises AttributeError or OSError where it cannot."""
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

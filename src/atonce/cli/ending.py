"""The end of a command that is a program: `end_at_once`."""

from __future__ import annotations

import atexit
import os
import sys
import threading

__all__ = ["end_at_once"]


def end_at_once(code: int) -> None:
    """End the process without taking apart what was loaded, which would take 25 ms: the system does that.

    What was registered for the end is called, and what was printed is out. Returns where that cannot be, or where somebody
    is still at work: then the process is to end as any other does.
    """
    if threading.active_count() > 1:
        return
    try:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    except Exception:  # told by whoever ends it in the usual way
        return
    os._exit(code)

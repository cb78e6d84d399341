"""What the command line runs on clusters; importable there."""

import os
import signal

__all__ = ["job"]


def job(line: str) -> int:
    """The number of a line. One in a thousand fails; one that brings a path kills its worker, the first time."""
    number, _, once = line.partition(" ")
    if once and not os.path.exists(once):
        os.close(os.open(once, os.O_CREAT | os.O_EXCL))
        os.kill(os.getpid(), signal.SIGKILL)
    if int(number) % 1000 == 7:
        raise ValueError(number)
    return int(number)
